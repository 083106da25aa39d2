"""Sampled replies and what is known of each: tokens, log-probabilities, why it ended, the state at its end.

Entry point: `Rollouts`, which `reckon.rollout.engine` makes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reckon.models.token_batch import TokenBatch

MARKER_FINISH, END_FINISH, LENGTH_FINISH = "marker", "end", "length"


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
