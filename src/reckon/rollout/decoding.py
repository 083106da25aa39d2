"""Replies that grow by one token per step, from prompts that are read once.

Entry point: `Decoding`, which `SharedPrefixEngine.begin` makes. Whoever holds it decides when the next step is, so
several can grow side by side, new ones can begin between two steps, and a reply that nobody waits for can be dropped.
It is made and used without gradients, by a model in evaluation mode (`backbone.evaluating()`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reckon.errors import ReckonError
from reckon.models.backbone import Backbone
from reckon.models.token_batch import TokenBatch
from reckon.rollout.marker import StopMarker
from reckon.rollout.rollouts import END_FINISH, LENGTH_FINISH, MARKER_FINISH, Rollouts
from reckon.rollout.sampling import SamplingConfig, entropy_of, sampled_logprobs


class Decoding:
    """N = B * G growing replies; rows i*G .. (i+1)*G - 1 follow prompt i."""

    def __init__(
        self,
        backbone: Backbone,
        marker: StopMarker,
        ends: Tensor,
        prompts: TokenBatch,
        sampling: SamplingConfig,
        *,
        num_generations: int,
        appends_marker: bool,
        generator: torch.Generator | None,
        with_entropy: bool,
    ) -> None:
        """Read the prompts. Arguments as `SharedPrefixEngine.sample`; `ends` are the tokens that end a turn.

        Raises:
            ReckonError: the model's hidden states are not finite.
        """
        self._backbone, self._marker, self._ends, self._prompts = backbone, marker, ends, prompts
        self._sampling, self._group_size, self._appends_marker = sampling, num_generations, appends_marker
        self._generator, self._with_entropy = generator, with_entropy
        self._forced = torch.tensor(marker.ids, device=backbone.device)
        states, last = backbone.read_prompts(prompts)
        if not bool(torch.isfinite(last).all()):
            raise ReckonError(
                "the model's hidden states are not finite: training has diverged. "
                "Fix: lower training.learning_rate, or resume from an earlier checkpoint."
            )
        capacity = sampling.max_completion_length + (len(self._forced) if appends_marker else 0)
        self._reader = states.reader(num_generations, capacity)
        self._predicting = last.repeat_interleave(num_generations, 0)  # [N, D] states that predict the next token
        rows, device = len(self._predicting), self._predicting.device
        self._steps = 0
        self._ids = torch.full((rows, capacity), backbone.tokenizer.pad_token_id, dtype=torch.long, device=device)
        self._sampled = torch.zeros((rows, capacity), dtype=torch.bool, device=device)
        self._logprobs = torch.zeros((rows, capacity), device=device)
        self._entropies = torch.zeros((rows, capacity), device=device)
        self._forcing = torch.full((rows,), -1, dtype=torch.long, device=device)  # next marker token to append
        self._finished_at = torch.full((rows,), -1, dtype=torch.long, device=device)  # position of the last token
        self._marker_hidden = torch.zeros_like(self._predicting)
        self._reasons = [MARKER_FINISH] * rows

    @property
    def growing(self) -> Tensor:
        """[N] True where a reply has not ended."""
        return self._finished_at < 0

    def step(self) -> Tensor:
        """Add one token to every growing reply: the new tokens [N], -1 where a reply had ended before."""
        step, ended_before = self._steps, ~self.growing
        logits = self._backbone.logits(self._predicting)
        tokens, logprobs, entropies = _draw(logits, self._sampling, self._generator, self._with_entropy)
        self._place(step, tokens, logprobs)
        if entropies is not None:
            self._entropies[:, step] = torch.where(self._sampled[:, step], entropies, 0.0)
        hidden = self._backbone.read_replies(self._ids[:, step : step + 1], self._reader)[:, 0]
        self._predicting = hidden
        self._marker_hidden = torch.where((self._finished_at == step)[:, None], hidden, self._marker_hidden)
        self._steps += 1
        return self._ids[:, step].masked_fill(ended_before, -1)

    def drop(self, rows: Sequence[int]) -> None:
        """End replies that nobody waits for; what they hold so far is of no use."""
        self._finished_at[list(rows)] = max(0, self._steps - 1)

    def rollouts(self, rows: Sequence[int] | None = None) -> Rollouts:
        """The ended replies; all must have ended.

        Args:
            rows: replies that have ended while others grow, for groups of one; None: all.
        """
        chosen = torch.arange(len(self._ids)) if rows is None else torch.tensor(rows)
        assert rows is None or self._group_size == 1, "a group ends as a whole"
        chosen = chosen.to(self._ids.device)
        longest = int(self._finished_at[chosen].max()) + 1
        return Rollouts(
            prompts=self._prompts if rows is None else self._prompts.part(chosen),
            reply_ids=self._ids[chosen, :longest],
            sampled=self._sampled[chosen, :longest],
            logprobs=self._logprobs[chosen, :longest],
            lengths=self._finished_at[chosen] + 1,
            hidden=self._marker_hidden[chosen],
            finish=tuple(self._reasons[row] for row in chosen.tolist()),
            entropies=self._entropies[chosen, :longest] if self._with_entropy else None,
        )

    def _place(self, step: int, tokens: Tensor, logprobs: Tensor) -> None:
        """Write one token into every growing reply: the sampled token, or the next token of an appended marker."""
        growing, budget = self.growing, self._sampling.max_completion_length
        if step == budget:
            self._force(growing & (self._forcing < 0), LENGTH_FINISH)
        forcing = growing & (self._forcing >= 0)
        tokens = torch.where(forcing, self._forced[self._forcing.clamp(0, len(self._forced) - 1)], tokens)
        chosen = growing & ~forcing
        self._ids[:, step] = torch.where(growing, tokens, self._ids[:, step])
        self._sampled[:, step] = chosen
        self._logprobs[:, step] = torch.where(chosen, logprobs, 0.0)
        self._forcing[forcing] += 1
        ended = chosen & self._marker.ended(tokens, self._ids[:, : step + 1])
        gave_up = chosen & ~ended & torch.isin(tokens, self._ends)
        if self._appends_marker:
            self._finish(ended | (self._forcing == len(self._forced)) & growing, step)
            self._force(gave_up, END_FINISH)
            return
        self._finish(ended, step)
        self._finish(gave_up, step, END_FINISH)
        if step == budget - 1:
            self._finish(chosen & ~ended & ~gave_up, step, LENGTH_FINISH)

    def _force(self, which: Tensor, reason: str) -> None:
        self._forcing[which] = 0
        self._because(which, reason)

    def _finish(self, which: Tensor, step: int, reason: str | None = None) -> None:
        self._finished_at[which] = step
        if reason is not None:
            self._because(which, reason)

    def _because(self, which: Tensor, reason: str) -> None:
        for row in which.nonzero()[:, 0].tolist():
            self._reasons[row] = reason


def _draw(
    logits: Tensor, sampling: SamplingConfig, generator: torch.Generator | None, with_entropy: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """One token per row, its log-probability under the distribution it was drawn from and, if wanted, its entropy."""
    if sampling.temperature == 0:
        return logits.argmax(dim=-1), logits.new_zeros(len(logits)), None
    logprobs = sampled_logprobs(logits, sampling)
    probabilities = logprobs.exp()
    entropies = entropy_of(logprobs, probabilities, sampling) if with_entropy else None
    # Inverse transform sampling needs one random number per row. torch.multinomial draws one for every token of the
    # vocabulary, which took a seventh of the time of a rollout.
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)  # [N, V]
    total = cumulative[:, -1:]
    point = total * torch.rand(total.shape, generator=generator, dtype=total.dtype, device=total.device)
    # Strictly below the total, so that rounding never picks a token of probability zero at the end.
    point = torch.minimum(point, torch.nextafter(total, torch.zeros_like(total)))
    tokens = torch.searchsorted(cumulative, point, right=True)  # [N, 1]
    return tokens[:, 0], logprobs.gather(1, tokens)[:, 0], entropies
