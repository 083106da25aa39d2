"""The catalog at one moment: what can be recommended, and how it is ranked.

Entry points: `CatalogSnapshot.rank`, `similar`, `popular`. A change of the catalog makes a new snapshot and leaves the
old one as it is, so any thread may rank while items change. Knows nothing of prompts or requests.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from reckon.data import Catalog
from reckon.models.scoring import block_top_k, item_scores
from reckon.serving.models.filters import Filter

DAY = 86_400.0  # seconds


@dataclass(frozen=True, slots=True)
class Past:
    """One event of a history, by the item's id."""

    item_id: str
    time: datetime | None = None
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be recommended to one user."""

    exclude: frozenset[str] = frozenset()
    """Item ids that are left out."""
    filter: Filter | None = None
    """A condition on the columns of items."""
    seen: Sequence[Past] = ()
    """The user's history."""
    policy: Literal["exclude", "fade", "keep"] = "exclude"
    """What becomes of its items."""
    fade_days: float = 30.0
    fade_penalty: float = 0.0
    now: datetime | None = None
    """When penalties are counted from; None: the latest event."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Ranked items, best first."""

    ids: list[str]
    titles: list[str]
    scores: list[float]
    parts: Mapping[str, list[float]]
    """What each part added to each score; they add up to `scores`."""


class CatalogSnapshot:
    """I items with their vectors; some are hidden, because they were deleted."""

    def __init__(self, catalog: Catalog, vectors: Tensor, bias: Tensor | None, hidden: frozenset[str]) -> None:
        """`vectors` [I, D] on any device, `bias` [I] added to every user's scores."""
        self.catalog, self.vectors, self.bias, self.hidden = catalog, vectors, bias, hidden
        self.rows = {item_id: row for row, item_id in enumerate(catalog.ids)}
        self._hidden_rows = np.array([self.rows[item_id] for item_id in hidden if item_id in self.rows], dtype=np.int64)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.rows and item_id not in self.hidden

    def rank(self, query: Tensor, selection: Selection, k: int) -> Ranked:
        """The k best items for a user vector [D], which is divided by the temperature."""
        match = item_scores(query[None].to(self.vectors), self.vectors)[0]
        parts = {"match": match}
        if self.bias is not None:
            parts["popularity"] = self.bias.to(match)
        return self._best(parts, selection, k)

    def similar(self, item_ids: Sequence[str], selection: Selection, k: int) -> Ranked:
        """The k items whose vectors are nearest, by cosine, to the mean of some items' vectors; the items themselves
        are left out."""
        rows = [self.rows[item_id] for item_id in item_ids if item_id in self.rows]
        if not rows:
            return Ranked([], [], [], {"similarity": []})
        units = normalize(self.vectors.float(), dim=-1)
        similarity = units @ normalize(units[rows].mean(dim=0), dim=-1)
        similarity[rows] = -torch.inf
        return self._best({"similarity": similarity}, selection, k)

    def popular(self, counts: Mapping[str, int], selection: Selection, k: int) -> Ranked:
        """The k items with the most events."""
        events = np.zeros(len(self.rows), dtype=np.float32)
        for item_id, count in counts.items():
            if item_id in self.rows:
                events[self.rows[item_id]] = count
        return self._best({"events": torch.from_numpy(events)}, selection, k, stable=True)

    def listed(self, item_ids: Sequence[str]) -> Ranked:
        """Some items as they come, without scores; unknown and hidden ones are left out."""
        ids = [item_id for item_id in item_ids if item_id in self]
        return Ranked(ids, [self.catalog.titles[self.rows[one]] for one in ids], [0.0] * len(ids), {})

    def found(self, text: str, *, after: str | None = None, limit: int) -> list[str]:
        """At most `limit` ids, in order, of items whose title or id holds a text in any case; those behind `after`."""
        text = text.casefold()
        ids = (
            one
            for one, title in zip(self.catalog.ids, self.catalog.titles, strict=True)
            if (after is None or one > after) and one not in self.hidden
            if text in title.casefold() or text in one.casefold()
        )
        return heapq.nsmallest(limit, ids)

    def _best(self, parts: dict[str, Tensor], selection: Selection, k: int, *, stable: bool = False) -> Ranked:
        """The k items with the highest sums; `stable`: of equal ones the first of the catalog, whatever k is."""
        penalty = self._penalty(selection)
        if penalty is not None:
            parts = parts | {"seen": penalty.to(next(iter(parts.values())))}
        scores = torch.stack(list(parts.values())).sum(dim=0)
        forbidden = torch.from_numpy(self._forbidden(selection)).to(scores.device)
        scores[forbidden] = -torch.inf
        if stable:
            values, indices = scores.sort(descending=True, stable=True)
            indices = indices[:k].masked_fill(values[:k] == -torch.inf, -1)
        else:
            indices, values = (side[0] for side in block_top_k(scores[None], min(k, len(scores))))
        chosen = [int(row) for row in indices.tolist() if row >= 0]  # -1 fills the end of a short list
        return Ranked(
            [self.catalog.ids[row] for row in chosen],
            [self.catalog.titles[row] for row in chosen],
            values[: len(chosen)].tolist(),
            {name: part[chosen].float().tolist() for name, part in parts.items()},
        )

    def _forbidden(self, selection: Selection) -> np.ndarray:
        """Rows that may not be recommended."""
        ids = set(selection.exclude)
        if selection.policy == "exclude":
            ids.update(past.item_id for past in selection.seen)
        rows = [self.rows[item_id] for item_id in ids if item_id in self.rows]
        found = [self._hidden_rows, np.array(rows, dtype=np.int64)]
        if selection.filter is not None:
            found.append(np.flatnonzero(~selection.filter.mask(self.catalog.table)))
        return np.concatenate(found)

    def _penalty(self, selection: Selection) -> Tensor | None:
        """[I] what seen items lose, halved every `fade_days`; None where nothing fades."""
        if selection.policy != "fade" or not selection.seen:
            return None
        penalty = torch.zeros(len(self.rows))
        times = [past.time for past in selection.seen if past.time is not None]
        now = selection.now or max(times, default=None)
        for past in selection.seen:
            row = self.rows.get(past.item_id)
            if row is None:
                continue
            age = (now - past.time).total_seconds() / DAY if now is not None and past.time is not None else 0.0
            lost = selection.fade_penalty * 0.5 ** (max(0.0, age) / selection.fade_days)
            penalty[row] = min(float(penalty[row]), -lost)  # the latest of several events counts
        return penalty
