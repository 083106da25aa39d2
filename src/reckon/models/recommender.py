"""What every recommender answers, methods and baselines alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

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


class Recommender(Protocol):
    """Ranks the catalog for users given by their histories."""

    def recommend(
        self, histories: Sequence[IntArray | Sequence[int]], k: int = 10, exclude_seen: bool = True
    ) -> list[Recommendation]:
        """The k best items for each history (item indices, oldest first)."""
        ...
