"""One prediction as a person reads it: what was known, what the policy wrote, what came of it.

Entry points: `first_rows` and `worst_rows` of an evaluation; `ShownRating`, made by `shown_rating` from an example and
the reply to it; `steps_of` names the blocks of a reply. Shown by the report and by `reckon recommend --rate`, which
both keep other people's text from acting.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reckon.data.ratings import Rated, RatingExample, RatingExamples
from reckon.evaluation.result import FIRST_ROWS, WORST_ROWS
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RatedExamples
from reckon.prompts.rating import BAD, BLOCKS, GOOD, parse_rating


@dataclass(frozen=True, slots=True)
class ShownRating:
    """A row with its reply. All text may be hostile: whoever shows it escapes it."""

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
    """Heading and text of each block; empty where the reply has not the four blocks."""
    reply: str
    """All that the policy wrote."""
    predicted: float | None
    """None where the reply does not parse."""
    problem: str
    """Why it does not; empty where it does."""
    truncated: bool
    """Whether the reply ran out of budget."""
    truth: float | None = None
    """The rating the user really gave; None where nobody knows."""
    note: str = ""

    @property
    def error(self) -> float | None:
        """Distance of the prediction from the truth; None without one of them."""
        if self.predicted is None or self.truth is None:
            return None
        return abs(self.predicted - self.truth)


def shown_rating(
    model: RecZero, example: RatingExample, reply: str, *, truncated: bool = False, note: str = ""
) -> ShownRating:
    """Lay out one example and the reply to its prompt."""
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
    """Heading and text of each block, what speaks for and against the item apart; blocks without text are left out."""
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
    """Several replies' prediction in words: `mean 4.25, spread 0.5`, or that there is none."""
    if np.isnan(mean):
        return "none gave a rating"
    return f"mean {mean:.2f}, spread {spread:.2f}" if not np.isnan(spread) else f"mean {mean:.2f}, from a single rating"


def first_rows(
    model: RecZero, examples: RatingExamples, likely: RatedExamples, sampled: RatedExamples | None = None
) -> list[ShownRating]:
    """The first rows of the split with their most likely reply, whatever came of them: picked ones would flatter.

    Args:
        model, examples: what predicted, and the rows.
        likely: one reply per row.
        sampled: several; their mean and spread are then told beside the reply.
    """
    return _shown(model, examples, likely, sampled, range(min(FIRST_ROWS, len(examples))))


def worst_rows(
    model: RecZero, examples: RatingExamples, likely: RatedExamples, sampled: RatedExamples | None = None
) -> list[ShownRating]:
    """The rows furthest from the truth, of equals the earlier; the first rows, shown already, are left out.

    A reply without a rating has its worst possible error, as everywhere.
    """
    errors = np.abs(likely.predictions - examples.ratings)
    errors = np.where(np.isnan(errors), model.scale.worst_error(examples.ratings), errors)
    order = np.argsort(-errors, kind="stable")
    return _shown(model, examples, likely, sampled, [int(row) for row in order if row >= FIRST_ROWS][:WORST_ROWS])


def _shown(
    model: RecZero,
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
