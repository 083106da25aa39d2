"""One row as several methods see it: what a page shows where methods disagree.

Entry points: `Disagreement` for rankings, `RatingDisagreement` for ratings. Which rows are shown is decided in
`reckon.comparison.ranking.disagreements` and `reckon.comparison.rating.disagreements`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """What one method made of one row."""

    name: str
    rank: int | None
    """Of the target; None for a miss."""
    titles: Sequence[str]
    reasoning: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One row that methods rank differently. All text may be hostile: the page escapes it."""

    user_id: str
    history: Sequence[str]
    target: str
    seen_in_training: int
    """How often the target occurs there."""
    views: Sequence[View]


@dataclass(frozen=True, slots=True)
class RatingView:
    """What one method made of one row of ratings."""

    name: str
    predicted: float | None
    """None where the reply did not parse."""
    steps: Sequence[tuple[str, str]]
    """Heading and text of each block of the reply; empty where it has not the form."""
    reply: str
    """All that was written; empty for a method that writes nothing."""
    problem: str
    """Why the reply gave no rating; empty where it did."""


@dataclass(frozen=True, slots=True)
class RatingDisagreement:
    """One row that methods rate differently. All text may be hostile: the page escapes it."""

    user_id: str
    history: Sequence[tuple[str, float]]
    """Title and rating, oldest first."""
    item: str
    truth: float
    user_mean: float | None
    item_mean: float | None
    views: Sequence[RatingView]
