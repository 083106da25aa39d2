"""The in-process rollout engine: prefill each prompt once, sample a group of replies from it.

Entry points: `SharedPrefixEngine.sample`, and `begin` for whoever takes the steps. A reply ends at the marker, at an
end-of-turn token, or when the token budget runs out (truncated). With `appends_marker`, a reply that ends without the
marker gets it appended: the policy did not choose those tokens, so they are outside `sampled`. Decoding yields the
hidden state at the marker; no extra pass is needed. Knows nothing about rewards or items.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reckon.models.backbone import Backbone
from reckon.rollout.decoding import Decoding
from reckon.rollout.marker import StopMarker
from reckon.rollout.rollouts import Rollouts
from reckon.rollout.sampling import SamplingConfig


class SharedPrefixEngine:
    """Samples replies from a backbone that lives in this process."""

    def __init__(self, backbone: Backbone, marker: str, *, appends_marker: bool = True) -> None:
        """A reply ends at `marker`; `appends_marker` adds the marker to replies that end without it."""
        self.backbone, self.appends_marker = backbone, appends_marker
        self.marker = StopMarker(marker, backbone)
        ends = {backbone.tokenizer.eos_token_id}
        configured = backbone.config.eos_token_id
        ends.update(configured if isinstance(configured, list) else [configured])
        self._ends = torch.tensor(sorted(end for end in ends if end is not None), device=backbone.device)

    def begin(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        *,
        num_generations: int = 1,
        generator: torch.Generator | None = None,
        with_entropy: bool = False,
    ) -> Decoding:
        """Read the prompts; whoever calls takes the steps, within `backbone.evaluating()`. Arguments as `sample`."""
        return Decoding(
            self.backbone,
            self.marker,
            self._ends,
            self.backbone.pad(prompts),
            sampling,
            num_generations=num_generations,
            appends_marker=self.appends_marker,
            generator=generator,
            with_entropy=with_entropy,
        )

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        *,
        num_generations: int = 1,
        generator: torch.Generator | None = None,
        on_token: Callable[[Tensor], None] | None = None,
        with_entropy: bool = False,
    ) -> Rollouts:
        """Sample G replies for each of B prompts.

        Args:
            prompts: token ids of each prompt, any lengths.
            sampling: the distribution and the token budget.
            num_generations: G, at least 1.
            generator: the random source, on the backbone's device. None uses torch's global one.
            on_token: called with the newest tokens [N] after each step, for streaming; -1 where a row has ended.
            with_entropy: also keep the entropy of the distribution of each token; not for greedy replies.
        """
        with self.backbone.evaluating():
            decoding = self.begin(
                prompts, sampling, num_generations=num_generations, generator=generator, with_entropy=with_entropy
            )
            while bool(decoding.growing.any()):
                tokens = decoding.step()
                if on_token is not None:
                    on_token(tokens)
            return decoding.rollouts()
