"""The in-process rollout engine: prefill each prompt once, sample a group of replies from it.

Entry point: `SharedPrefixEngine.sample`. A reply ends at the marker, at an end-of-turn token, or when the token budget
runs out (truncated). With `appends_marker`, a reply that ends without the marker gets it appended: the policy did not
choose those tokens, so they are outside `sampled`. Decoding yields the hidden state at the marker; no extra pass is
needed. Knows nothing about rewards or items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reckon.errors import ConfigError, ReckonError
from reckon.models.backbone import Backbone
from reckon.models.token_batch import TokenBatch
from reckon.rollout.sampling import SamplingConfig, entropy_of, sampled_logprobs

MARKER_FINISH, END_FINISH, LENGTH_FINISH = "marker", "end", "length"
LOOK_BACK = 8  # trailing tokens of a reply that are searched for the marker's text


@dataclass(frozen=True, slots=True)
class Rollouts:
    """N = B * G sampled trajectories; rows i*G .. (i+1)*G - 1 share prompt i."""

    prompts: TokenBatch
    """B prompts."""
    reply_ids: Tensor  # [N, T] reply tokens, then padding; a written or appended marker comes last
    sampled: Tensor  # [N, T] True where the policy chose the token
    logprobs: Tensor  # [N, T] under the sampled distribution; zero outside `sampled`
    lengths: Tensor  # [N] reply tokens
    hidden: Tensor  # [N, D] final hidden state at the reply's last token, the marker where there is one
    finish: tuple[str, ...]
    """Why each reply ended: `marker`, `end` (end of turn without a marker) or `length` (out of budget)."""
    entropies: Tensor | None = None
    """[N, T] entropy in nats of the distribution each token was sampled from, zero outside `sampled`; None unless asked
    for."""

    def __len__(self) -> int:
        return len(self.reply_ids)

    @property
    def group_size(self) -> int:
        return len(self.reply_ids) // len(self.prompts.ids)

    def part(self, groups: Sequence[int]) -> "Rollouts":
        """The trajectories of some prompts, padded no further than the longest of them."""
        chosen = torch.tensor(groups, device=self.reply_ids.device)
        size = self.group_size
        rows = (chosen[:, None] * size + torch.arange(size, device=chosen.device)).flatten()
        prompts, longest = self.prompts.part(chosen), int(self.lengths[rows].max())
        return Rollouts(
            prompts,
            self.reply_ids[rows, :longest],
            self.sampled[rows, :longest],
            self.logprobs[rows, :longest],
            self.lengths[rows],
            self.hidden[rows],
            tuple(self.finish[row] for row in rows.tolist()),
            None if self.entropies is None else self.entropies[rows, :longest],
        )

    @property
    def truncated(self) -> Tensor:
        """[N] True where the reply ran out of its token budget; one that the policy ended, with the marker or with its
        turn, is complete."""
        return self._ended_by(LENGTH_FINISH)

    @property
    def marked(self) -> Tensor:
        """[N] True where the policy wrote the marker itself."""
        return self._ended_by(MARKER_FINISH)

    def _ended_by(self, reason: str) -> Tensor:
        return torch.tensor([given == reason for given in self.finish], device=self.reply_ids.device)


class StopMarker:
    """Finds the marker in sampled tokens, whether it is one token or several."""

    def __init__(self, text: str, backbone: Backbone) -> None:
        tokenizer = backbone.tokenizer
        self.text = text
        self.ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        self._tokenizer = tokenizer
        size = backbone.causal_lm.get_output_embeddings().weight.shape[0]
        if max(self.ids) >= size:
            rule = f"its tokenizer writes {text} in tokens for which it has no vectors"
            raise ConfigError("backbone", backbone.name, rule, "use another model")
        self._may_end = torch.zeros(size, dtype=torch.bool)
        if len(self.ids) == 1:
            self._may_end[self.ids[0]] = True
        else:
            for token, index in tokenizer.get_vocab().items():
                if index < size:  # a tokenizer may have more tokens than its model
                    self._may_end[index] = text[-1] in token
        self._may_end = self._may_end.to(backbone.device)

    def ended(self, tokens: Tensor, replies: Tensor) -> Tensor:
        """[N] True where the newest tokens [N] complete the marker; replies [N, t] include them."""
        ended = self._may_end[tokens]
        if len(self.ids) > 1:
            for row in ended.nonzero()[:, 0].tolist():
                tail = self._tokenizer.decode(replies[row, -(LOOK_BACK + len(self.ids)) :].tolist())
                ended[row] = self.text in tail
        return ended


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
        backbone = self.backbone
        with backbone.evaluating():
            batch = backbone.pad(prompts)
            states, last = backbone.read_prompts(batch)
            if not bool(torch.isfinite(last).all()):
                raise ReckonError(
                    "the model's hidden states are not finite: training has diverged. "
                    "Fix: lower training.learning_rate, or resume from an earlier checkpoint."
                )
            forced = torch.tensor(self.marker.ids, device=backbone.device)
            capacity = sampling.max_completion_length + (len(forced) if self.appends_marker else 0)
            reader = states.reader(num_generations, capacity)
            rows = _Rows(last.repeat_interleave(num_generations, 0), capacity, backbone.tokenizer.pad_token_id)
            for step in range(capacity):
                tokens, logprobs, entropies = _draw(backbone.logits(rows.predicting), sampling, generator, with_entropy)
                self._place(rows, step, tokens, logprobs, forced, sampling.max_completion_length)
                if entropies is not None:
                    rows.entropies[:, step] = torch.where(rows.sampled[:, step], entropies, 0.0)
                if on_token is not None:
                    ended_before = (rows.finished_at >= 0) & (rows.finished_at < step)
                    on_token(rows.ids[:, step].masked_fill(ended_before, -1))
                hidden = backbone.read_replies(rows.ids[:, step : step + 1], reader)[:, 0]
                if rows.read(step, hidden):
                    break
            return rows.rollouts(batch, with_entropy)

    def _place(self, rows: "_Rows", step: int, tokens: Tensor, logprobs: Tensor, forced: Tensor, budget: int) -> None:
        """Write one token into every row that has not ended: the sampled token, or the next token of an appended
        marker."""
        active = rows.finished_at < 0
        if step == budget:
            rows.force(active & (rows.forcing < 0), LENGTH_FINISH)
        forcing = active & (rows.forcing >= 0)
        tokens = torch.where(forcing, forced[rows.forcing.clamp(0, len(forced) - 1)], tokens)
        chosen = active & ~forcing
        rows.ids[:, step] = torch.where(active, tokens, rows.ids[:, step])
        rows.sampled[:, step] = chosen
        rows.logprobs[:, step] = torch.where(chosen, logprobs, 0.0)
        rows.forcing[forcing] += 1
        ended = chosen & self.marker.ended(tokens, rows.ids[:, : step + 1])
        gave_up = chosen & ~ended & torch.isin(tokens, self._ends)
        if self.appends_marker:
            rows.finish(ended | (rows.forcing == len(forced)) & active, step)
            rows.force(gave_up, END_FINISH)
            return
        rows.finish(ended, step)
        rows.finish(gave_up, step, END_FINISH)
        if step == budget - 1:
            rows.finish(chosen & ~ended & ~gave_up, step, LENGTH_FINISH)


class _Rows:
    """The replies while they grow. A row ends at `finished_at`, the position of its last token."""

    def __init__(self, predicting: Tensor, capacity: int, pad_id: int) -> None:
        rows, device = len(predicting), predicting.device
        self.predicting = predicting  # [N, D] states that predict the next token
        self.ids = torch.full((rows, capacity), pad_id, dtype=torch.long, device=device)
        self.sampled = torch.zeros((rows, capacity), dtype=torch.bool, device=device)
        self.logprobs = torch.zeros((rows, capacity), device=device)
        self.entropies = torch.zeros((rows, capacity), device=device)
        self.forcing = torch.full((rows,), -1, dtype=torch.long, device=device)  # next marker token to append
        self.finished_at = torch.full((rows,), -1, dtype=torch.long, device=device)
        self.marker_hidden = torch.zeros_like(predicting)
        self.reasons = [MARKER_FINISH] * rows

    def force(self, which: Tensor, reason: str) -> None:
        self.forcing[which] = 0
        self._because(which, reason)

    def finish(self, which: Tensor, step: int, reason: str | None = None) -> None:
        self.finished_at[which] = step
        if reason is not None:
            self._because(which, reason)

    def _because(self, which: Tensor, reason: str) -> None:
        for row in which.nonzero()[:, 0].tolist():
            self.reasons[row] = reason

    def read(self, step: int, hidden: Tensor) -> bool:
        """Store the states [N, D] that this step's tokens gave; True when every row has ended."""
        self.predicting = hidden
        self.marker_hidden = torch.where((self.finished_at == step)[:, None], hidden, self.marker_hidden)
        return bool((self.finished_at >= 0).all())

    def rollouts(self, prompts: TokenBatch, with_entropy: bool) -> Rollouts:
        longest = int(self.finished_at.max()) + 1
        return Rollouts(
            prompts=prompts,
            reply_ids=self.ids[:, :longest],
            sampled=self.sampled[:, :longest],
            logprobs=self.logprobs[:, :longest],
            lengths=self.finished_at + 1,
            hidden=self.marker_hidden,
            finish=tuple(self.reasons),
            entropies=self.entropies[:, :longest] if with_entropy else None,
        )


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
