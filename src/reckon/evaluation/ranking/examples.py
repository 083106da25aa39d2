"""Single users as a person reads them: history, reasoning, recommendation, and what they really took.

Entry points: `first_users` and `worst_users`, which show what the ranking of all rows kept; nothing is asked again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reckon.data import Examples
from reckon.evaluation.result import FIRST_ROWS, WORST_ROWS
from reckon.methods.ranking_model import RankingModel
from reckon.models.recommender import RankedExamples

SHOWN_ITEMS = 5


@dataclass(frozen=True, slots=True)
class ExampleUser:
    """What one user was shown. All text may be hostile: the page escapes it."""

    user_id: str
    history: Sequence[str]
    """Titles, oldest first."""
    reasoning: str
    """What the policy wrote; empty for a method that does not reason."""
    items: Sequence[str]
    """Titles, best first."""
    target: str
    """Title of the item the user really took next."""
    rank: int | None
    """Of the target in the whole catalog, from 1; None where it cannot be recommended."""
    truncated: bool = False
    """Whether the reply ran out of budget."""


def first_users(model: RankingModel, examples: Examples, ranked: RankedExamples) -> list[ExampleUser]:
    """The first rows of the split, whatever came of them: picked ones would flatter the model."""
    return _shown(model, examples, ranked, range(min(FIRST_ROWS, len(examples))))


def worst_users(model: RankingModel, examples: Examples, ranked: RankedExamples) -> list[ExampleUser]:
    """The rows whose target is ranked lowest, of equals the earlier; the first rows, shown already, are left out."""
    order = np.argsort(-ranked.ranks, kind="stable")
    return _shown(model, examples, ranked, [int(row) for row in order if row >= FIRST_ROWS][:WORST_ROWS])


def _shown(model: RankingModel, examples: Examples, ranked: RankedExamples, rows: Iterable[int]) -> list[ExampleUser]:
    titles = model.catalog.titles
    return [
        ExampleUser(
            user_id=str(examples.user_ids[row]),
            history=[titles[item] for item in examples.history(row)],
            reasoning=ranked.reasonings[row],
            items=[titles[item] for item in ranked.items[row][:SHOWN_ITEMS] if item >= 0],
            target=titles[int(examples.targets[row])],
            rank=int(ranked.ranks[row]) if ranked.ranks[row] <= len(titles) else None,
            truncated=bool(ranked.truncated[row]),
        )
        for row in rows
    ]
