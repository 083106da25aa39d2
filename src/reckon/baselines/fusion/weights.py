"""Weights of a fusion by coordinate ascent on validation rows: one set, and sets for lengths of history.

Entry points: `Candidates` holds the scores that decide, `best_weights` and `weights_by_length` choose.

Only items that some member places high can come out on top, so of every row the HIGHEST of each member and the target
are kept. Metzler, Croft, "Linear feature-based models for information retrieval" (2007), section 4.2, is the ascent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from reckon.data.examples import IntArray
from reckon.metrics.ranking import rank_values

METRIC = "ndcg@10"
HIGHEST = 100  # items of each member and row
GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
ROUNDS = 20
LENGTHS = (2, 5)  # events: a history has at most 2, at most 5, or more
LENGTH_NAMES = ("up to 2 events", "up to 5 events", "more events")
LEAST_ROWS = 200  # of a length, to have weights of its own


@dataclass(frozen=True, slots=True)
class Candidates:
    """Standardised scores of the items that may come out on top, for R rows."""

    scores: Tensor
    """[R, C, M] of each candidate by each member."""
    allowed: Tensor
    """[R, C] False for a repetition and for an item that may not be recommended."""
    target: Tensor
    """[R, M] scores of the target."""
    reachable: Tensor
    """[R] False where the target may not be recommended: a miss with any weights."""
    catalog_size: int

    @classmethod
    def of_block(cls, parts: Tensor, targets: Tensor, seen: Sequence[IntArray] | None) -> Self:
        """The candidates of a block.

        Args:
            parts: [M, n, I] standardised scores.
            targets: [n] item indices.
            seen: for each row the items that may not be recommended; None: all may be.
        """
        members, rows, items = parts.shape
        excluded = torch.zeros(rows, items, dtype=torch.bool)
        for row, hidden in enumerate(seen or ()):
            excluded[row, torch.from_numpy(np.asarray(hidden, dtype=np.int64))] = True
        highest = parts.masked_fill(excluded, -torch.inf).topk(min(HIGHEST, items), dim=2).indices  # [M, n, H]
        places = highest.permute(1, 0, 2).reshape(rows, -1).sort(dim=1).values  # [n, C]
        repeated = torch.zeros_like(places, dtype=torch.bool)
        repeated[:, 1:] = places[:, 1:] == places[:, :-1]
        allowed = ~repeated & ~excluded.gather(1, places) & (places != targets[:, None])
        scores = parts.gather(2, places.expand(members, -1, -1)).permute(1, 2, 0)
        own = parts.gather(2, targets[:, None].expand(members, -1, 1))[..., 0].T
        return cls(scores, allowed, own, ~excluded.gather(1, targets[:, None])[:, 0], items)

    @classmethod
    def joined(cls, blocks: Sequence[Self]) -> Self:
        """One after the other."""
        return cls(
            torch.cat([block.scores for block in blocks]),
            torch.cat([block.allowed for block in blocks]),
            torch.cat([block.target for block in blocks]),
            torch.cat([block.reachable for block in blocks]),
            blocks[0].catalog_size,
        )

    def rows(self, chosen: Tensor) -> "Candidates":
        """Those of some rows, by number or mask."""
        return Candidates(
            self.scores[chosen],
            self.allowed[chosen],
            self.target[chosen],
            self.reachable[chosen],
            self.catalog_size,
        )

    def __len__(self) -> int:
        return len(self.target)

    def metric(self, weights: Tensor) -> float:
        """Mean METRIC with weights [M]; a tie counts against the target."""
        ahead = (self.scores @ weights >= (self.target @ weights)[:, None]) & self.allowed  # [R, C]
        ranks = torch.where(self.reachable, 1 + ahead.sum(dim=1), self.catalog_size + 1)
        return float(rank_values(ranks.numpy(), METRIC, self.catalog_size).mean())


def best_weights(candidates: Candidates, start: Tensor | None = None) -> Tensor:
    """Weights [M] of the highest METRIC that coordinate ascent finds.

    One weight after the other takes the best value of GRID, until none gets better. It starts from `start`, or from
    equal weights and from each member alone, of which the best end counts.
    """
    members = candidates.target.shape[1]
    starts = [start] if start is not None else [torch.ones(members), *torch.eye(members)]
    ends = [_ascent(candidates, one) for one in starts]
    return max(ends, key=lambda end: end[0])[1]


def _ascent(candidates: Candidates, start: Tensor) -> tuple[float, Tensor]:
    best, value = start.clone(), candidates.metric(start)
    for _ in range(ROUNDS):
        before = value
        for member in range(len(best)):
            for weight in GRID:
                tried = best.clone()
                tried[member] = weight
                if bool(tried.any()) and (found := candidates.metric(tried)) > value:
                    best, value = tried, found
        if value == before:
            break
    return value, best


def weights_by_length(candidates: Candidates, lengths: Tensor, overall: Tensor) -> Tensor:
    """[len(LENGTHS) + 1, M] weights for short, middle and long histories.

    A length has weights of its own where they hold on rows that did not choose them: chosen on either half of its rows,
    they must be better than `overall` on the other half. Otherwise it keeps `overall`.

    Args:
        candidates: of R rows.
        lengths: [R] events of each history.
        overall: [M] weights for all lengths.
    """
    group, chosen = length_group(lengths), []
    for number in range(len(LENGTHS) + 1):
        own = candidates.rows(group == number)
        chosen.append(overall)
        if len(own) >= LEAST_ROWS:
            halves = [own.rows(torch.arange(len(own)) % 2 == half) for half in (0, 1)]
            gains = [
                other.metric(best_weights(half, overall)) - other.metric(overall)
                for half, other in (halves, halves[::-1])
            ]
            if min(gains) > 0:
                chosen[-1] = best_weights(own, overall)
    return torch.stack(chosen)


def length_group(lengths: Tensor) -> Tensor:
    """[R] 0 for histories of at most LENGTHS[0] events, and so on."""
    return torch.bucketize(lengths, torch.tensor(LENGTHS))
