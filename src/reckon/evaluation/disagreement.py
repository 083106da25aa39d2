"""One row as several methods see it: what a page shows where methods disagree.

Entry point: `Disagreement`. Which rows are shown is decided in `reckon.comparison.groups`.
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
