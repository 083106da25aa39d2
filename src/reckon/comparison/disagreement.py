"""Rows with different recommendations or predictions of several methods, for display.

Entry points: `Disagreement` for rankings, `RatingDisagreement` for ratings. The rows are chosen in
`reckon.comparison.ranking.disagreements` and `reckon.comparison.rating.disagreements`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One method's recommendation for one row."""

    name: str
    rank: int | None
    """Rank of the target; None for a miss."""
    titles: Sequence[str]
    reasoning: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One row that methods rank differently. Texts are untrusted; the page escapes them."""

    user_id: str
    history: Sequence[str]
    target: str
    seen_in_training: int
    """Training events of the target."""
    views: Sequence[View]


@dataclass(frozen=True, slots=True)
class RatingView:
    """One method's prediction for one row."""

    name: str
    predicted: float | None
    """Predicted rating; None where the reply did not parse."""
    steps: Sequence[tuple[str, str]]
    """Heading and text of each block of the reply; empty where the reply did not parse."""
    reply: str
    """The whole reply; empty for a method without replies."""
    problem: str
    """Why the reply has no rating; empty where it has one."""


@dataclass(frozen=True, slots=True)
class RatingDisagreement:
    """One row that methods rate differently. Texts are untrusted; the page escapes them."""

    user_id: str
    history: Sequence[tuple[str, float]]
    """Title and rating, oldest first."""
    item: str
    truth: float
    user_mean: float | None
    item_mean: float | None
    views: Sequence[RatingView]
