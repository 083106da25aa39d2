"""Examples of single predictions for display: histories, reply, prediction, truth.

Entry points: `first_rows` and `worst_rows` of an evaluation; `shown_rating` makes a `ShownRating` from an example and
its reply; `steps_of` names the blocks of a reply. The report and `reckon recommend --rate` show them and escape their
text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reckon.data.ratings import Rated, RatingExample, RatingExamples
from reckon.evaluation.result import WORST_ROWS, first_row_of_users
from reckon.methods.reczero.model import RatedExamples, RecZeroModel
from reckon.prompts.rating_reply import BAD, BLOCKS, GOOD, parse_rating


@dataclass(frozen=True, slots=True)
class ShownRating:
    """One row with its reply, for display. Texts are untrusted; callers escape them."""

    user_id: str
    item: str
    """Title of the item."""
    history: Sequence[tuple[str, float, str]]
    """Title, rating and review of the user's ratings, oldest first."""
    others: Sequence[tuple[float, str]]
    """Rating and review of others' ratings of the item, oldest first."""
    user_mean: float | None
    item_mean: float | None
    steps: Sequence[tuple[str, str]]
    """Heading and text of each block; empty where the reply lacks the four blocks."""
    reply: str
    """The whole reply."""
    predicted: float | None
    """Predicted rating; None where the reply did not parse."""
    problem: str
    """Why the reply did not parse; empty where it did."""
    truncated: bool
    """Whether the reply ran out of budget."""
    truth: float | None = None
    """The true rating; None where it is unknown."""
    note: str = ""

    @property
    def error(self) -> float | None:
        """Absolute error; None without a prediction or a true rating."""
        if self.predicted is None or self.truth is None:
            return None
        return abs(self.predicted - self.truth)


def shown_rating(
    model: RecZeroModel, example: RatingExample, reply: str, *, truncated: bool = False, note: str = ""
) -> ShownRating:
    """One example and its reply, for display."""
    parsed, titles = parse_rating(reply, model.scale), model.catalog.titles
    return ShownRating(
        user_id=example.user_id,
        item=titles[example.item_index],
        history=[(titles[rated.item_index], rated.rating, _review(rated)) for rated in example.user_history],
        others=[(rated.rating, _review(rated)) for rated in example.item_history],
        user_mean=example.user_mean,
        item_mean=example.item_mean,
        steps=steps_of(parsed.blocks),
        reply=reply,
        predicted=parsed.rating,
        problem=parsed.problem or "",
        truncated=truncated,
        truth=None if np.isnan(example.rating) else example.rating,
        note=note,
    )


def steps_of(blocks: Mapping[str, str]) -> list[tuple[str, str]]:
    """Heading and text of each block, with pros and cons of the item apart; empty blocks are left out."""
    if not blocks:
        return []
    user, item, match, rate = (blocks[name] for name in BLOCKS)
    before, good, rest = item.partition(GOOD)
    speaks_for, bad, against = rest.partition(BAD)
    parts = [("The item", before), ("For the item", speaks_for), ("Against it", against)]
    if not (good and bad):
        parts = [("The item", item)]
    steps = [("The user", user), *parts, ("The match", match), ("Rating", rate)]
    return [(heading, text.strip()) for heading, text in steps if text.strip()]


def _review(rated: Rated) -> str:
    return ". ".join(part.strip().rstrip(".") for part in (rated.summary, rated.text) if part.strip())


def mean_and_spread(mean: float, spread: float) -> str:
    """Prediction of several replies as text: `mean 4.25, spread 0.5`, or that there is none."""
    if np.isnan(mean):
        return "none gave a rating"
    return f"mean {mean:.2f}, spread {spread:.2f}" if not np.isnan(spread) else f"mean {mean:.2f}, from a single rating"


def first_rows(
    model: RecZeroModel, examples: RatingExamples, likely: RatedExamples, sampled: RatedExamples | None = None
) -> list[ShownRating]:
    """The first row of each of the first users of the split with its greedy reply, not selected by its result.

    Args:
        model, examples: the predictor and the rows.
        likely: greedy replies, one per row.
        sampled: sampled replies, whose mean and spread are noted beside the reply; None: none.
    """
    return _shown(model, examples, likely, sampled, first_row_of_users(examples.user_ids))


def worst_rows(
    model: RecZeroModel, examples: RatingExamples, likely: RatedExamples, sampled: RatedExamples | None = None
) -> list[ShownRating]:
    """The rows with the largest errors, the earlier of ties, without the rows of `first_rows`.

    A reply without a rating has the row's largest possible error.
    """
    errors = np.abs(likely.predictions - examples.ratings)
    errors = np.where(np.isnan(errors), model.scale.worst_error(examples.ratings), errors)
    order = np.argsort(-errors, kind="stable")
    first = first_row_of_users(examples.user_ids)
    return _shown(model, examples, likely, sampled, [int(row) for row in order if row not in first][:WORST_ROWS])


def _shown(
    model: RecZeroModel,
    examples: RatingExamples,
    likely: RatedExamples,
    sampled: RatedExamples | None,
    rows: Iterable[int],
) -> list[ShownRating]:
    shown = []
    for row in rows:
        note = ""
        if sampled is not None and len(sampled.problems) > len(examples):
            k = len(sampled.problems) // len(examples)
            note = f"{k} sampled replies: {mean_and_spread(sampled.predictions[row], sampled.spread[row])}."
        truncated = bool(likely.truncated[row])
        shown.append(shown_rating(model, examples[row], likely.replies[row], truncated=truncated, note=note))
    return shown
