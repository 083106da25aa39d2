"""Token sequences padded on the right, and what is read out of such a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token sequences padded on the right."""

    ids: Tensor  # [n, L]
    lengths: Tensor  # [n]

    @classmethod
    def pad(cls, sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> "TokenBatch":
        """Sequences of any lengths, each at least one token."""
        ids = torch.full((len(sequences), max(map(len, sequences))), pad_id, dtype=torch.long)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        return cls(ids.to(device), lengths.to(device))

    def part(self, rows: Tensor) -> "TokenBatch":
        """Some of the sequences, padded no further than the longest of them."""
        lengths = self.lengths[rows]
        return TokenBatch(self.ids[rows, : int(lengths.max())], lengths)


def gather_rows(hidden: Tensor, positions: Tensor) -> Tensor:
    """One token of each row: hidden [n, L, D] at positions [n] gives [n, D]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def counted_positions(ids: Tensor) -> Tensor:
    """0, 1, 2, … for every row: [n, L]."""
    return torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
