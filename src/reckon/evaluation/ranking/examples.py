"""Examples of single rows for display: history, reasoning, recommendation, target.

Entry points: `first_users` and `worst_users`; both use the ranked rows, without another pass of the model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reckon.data import Examples
from reckon.evaluation.result import WORST_ROWS, first_row_of_users
from reckon.methods.ranking_model import RankingModel
from reckon.models.recommender import RankedExamples

SHOWN_ITEMS = 5


@dataclass(frozen=True, slots=True)
class ExampleUser:
    """One row for display. Texts are untrusted; the page escapes them."""

    user_id: str
    history: Sequence[str]
    """Titles, oldest first."""
    reasoning: str
    """The policy's reasoning; empty for a method that does not reason."""
    items: Sequence[str]
    """Titles, best first."""
    target: str
    """Title of the target."""
    rank: int | None
    """Rank of the target in the whole catalog, from 1; None for an excluded target."""
    truncated: bool = False
    """Whether the reply ran out of budget."""


def first_users(model: RankingModel, examples: Examples, ranked: RankedExamples) -> list[ExampleUser]:
    """The first row of each of the first users of the split, not selected by their results."""
    return _shown(model, examples, ranked, first_row_of_users(examples.user_ids))


def worst_users(model: RankingModel, examples: Examples, ranked: RankedExamples) -> list[ExampleUser]:
    """The rows with the worst ranks of the target, the earlier of ties, without the rows of `first_users`."""
    order = np.argsort(-ranked.ranks, kind="stable")
    shown = first_row_of_users(examples.user_ids)
    return _shown(model, examples, ranked, [int(row) for row in order if row not in shown][:WORST_ROWS])


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
