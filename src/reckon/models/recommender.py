"""What every recommender answers, methods and baselines alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from reckon.data.examples import IntArray


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Ranked items for one user, with the reasoning behind them where the method has one."""

    items: list[int]
    """Item indices, best first."""
    item_ids: list[str]
    """The data set's ids of the same items."""
    scores: list[float]
    """Higher is better; comparable within one recommendation."""
    reasoning: str | None = None
    """What the model wrote before it recommended; None for methods that do not reason."""
    truncated: bool = False
    """True when the reasoning ran out of budget and the marker had to be appended."""
    contributions: Mapping[str, list[float]] | None = None
    """What each member of a fusion added to each score; they add up to `scores`. None for all others."""


class Recommender(Protocol):
    """Ranks the catalog for users given by their histories."""

    def recommend(
        self, histories: Sequence[IntArray | Sequence[int]], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The k best items for each history (item indices, oldest first); `exclude_seen` as fitted unless given."""
        ...


@dataclass(slots=True)
class RankedExamples:
    """What evaluation keeps of R ranked rows."""

    ranks: IntArray
    """[R] rank of the target from 1; catalog size + 1 where it may not be recommended."""
    items: IntArray
    """[R, K] the best items, best first, -1 where there are fewer."""
    truncated: np.ndarray
    """[R] True where the model did not end its reply itself."""
    parsed: np.ndarray
    """[R] True where the reply has the form that the method reads."""
    lengths: IntArray
    """[R] sampled reply tokens; 0 without reasoning."""
    reasonings: list[str]
    """R texts; empty without reasoning."""
    dropped_events: IntArray
    """[R] events of the history that the prompt's budget left out."""
    cut_titles: IntArray
    """[R] titles that the prompt shows without their end."""

    @classmethod
    def empty(cls, rows: int, k: int) -> "RankedExamples":
        """Room for R rows."""
        return cls(
            np.zeros(rows, dtype=np.int64),
            np.full((rows, k), -1, dtype=np.int64),
            np.zeros(rows, dtype=bool),
            np.ones(rows, dtype=bool),
            np.zeros(rows, dtype=np.int64),
            [""] * rows,
            np.zeros(rows, dtype=np.int64),
            np.zeros(rows, dtype=np.int64),
        )

    def put_items(self, rows: slice | IntArray, items: IntArray) -> None:
        """The best items of some rows; a catalog smaller than K leaves the rest at -1."""
        self.items[rows, : items.shape[1]] = items
