"""Predict one rating that has not been given yet, with a trained run.

Entry points: `rate_now`, behind `reckon recommend RUN --rate ITEM`; `parse_ratings` reads typed ratings. The prompt
shows all of the data set's ratings, the latest included. Writes no files.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reckon.data import Catalog, Dataset
from reckon.data.ratings import Rated, RatingExample, Scale, rating_context
from reckon.data.titles import parse_history
from reckon.errors import CheckpointError, DataError
from reckon.evaluation.rating.examples import ShownRating, shown_rating
from reckon.methods.finished import data_path_of, task_of
from reckon.methods.reczero.model import RecZeroModel
from reckon.methods.registry import load_rating_model
from reckon.progress import quiet_transformers
from reckon.runs.read import dataset_of

# `title=4; title=4.5`. A title may hold `=` and `;`: it ends at the first `=number` before a semicolon or the end.
TYPED = re.compile(r"\s*(.+?)\s*=\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?:;|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RatingNow:
    """One prediction with its reasoning."""

    shown: ShownRating
    """The example with the first reply."""
    prediction: float | None
    """Mean rating of the replies that parsed; None if none did."""
    spread: float | None
    """Standard deviation of the ratings that parsed; None if fewer than two did."""
    parsed: int
    """Number of replies that parsed."""
    samples: int
    """Number of replies; 1 is the greedy reply."""
    scale: Scale
    own: float | None
    """The user's earlier rating of the same item, if the prompt shows it."""


def rate_now(
    run: str | Path,
    item: str,
    *,
    user: str | None = None,
    history: str | None = None,
    samples: int = 1,
    data: str | Path | None = None,
) -> RatingNow:
    """Predict a rating that has not been given yet.

    Args:
        run: run directory of a method that predicts ratings.
        item: title or id of the item.
        user: id of a user of the run's data set. Give either this or `history`.
        history: ratings of another person, as `title=4; title=5`, oldest first.
        samples: number of sampled replies, whose mean is the prediction; 1 uses the greedy reply.
        data: the dataset directory, where it has moved since training.

    Raises:
        CheckpointError: the run is not finished, ranks items, or was trained on other data.
        DataError: no such item or user; the message names the nearest ones.
    """
    run = Path(run)
    if task_of(run) != "rating":
        raise CheckpointError(run, "ranks items and predicts no ratings", "use `R2ec.recommend`")
    if (user is None) == (history is None):
        raise DataError("user and history", "need exactly one of them", "give a user or ratings")
    dataset = dataset_of(run, data_path_of(run), data)
    if user is not None:
        dataset.find_user(user)  # an unknown user is refused before the model is loaded
    with quiet_transformers():
        model = load_rating_model(run)
    model.require_items_of(dataset)
    example = _example(model, dataset, find_item(dataset.catalog, item), user, history)
    rated = model.rate([example], samples=samples)
    prediction, spread = (
        None if np.isnan(value) else float(value) for value in (rated.predictions[0], rated.spread[0])
    )
    own = [one.rating for one in example.user_history if one.item_index == example.item_index]
    return RatingNow(
        shown=shown_rating(model, example, rated.replies[0], truncated=bool(rated.truncated[0])),
        prediction=prediction,
        spread=spread,
        parsed=sum(not problem for problem in rated.problems),
        samples=samples,
        scale=model.scale,
        own=own[-1] if own else None,
    )


def _example(model: RecZeroModel, dataset: Dataset, item: int, user: str | None, history: str | None) -> RatingExample:
    who: str | list[Rated]
    if user is not None:
        who = user
    else:
        typed = parse_ratings(dataset.catalog, history or "", model.scale)
        who = [Rated("", index, rating, None) for index, rating in typed]
    prompt = model.config.prompt
    return rating_context(dataset, who, item, window=prompt.window, item_window=prompt.item_window)


def find_item(catalog: Catalog, text: str) -> int:
    """Item index of a title or item id. Raises DataError, with the nearest titles, for an unknown one."""
    found = parse_history(catalog, text)
    if len(found) > 1:
        raise DataError(f"item {text!r}", f"names {len(found)} items", "give one title or item id")
    return found[0]


def parse_ratings(catalog: Catalog, text: str, scale: Scale) -> list[tuple[int, float]]:
    """Item index and rating of each part of `title=4; title=5`, oldest first; item ids are accepted for titles.

    Raises:
        DataError: no rating, a part that is not `title=rating`, an unknown title, or a rating off the scale.
    """
    typed, place = [], 0
    while text[place:].strip():
        match = TYPED.match(text, place)
        if match is None:
            raise DataError(f"history {text[place:].strip()!r}", "is not `title=rating`", 'write "title=4; title=5"')
        title, rating = match[1], float(match[2])
        if not scale.contains(rating):
            raise DataError(f"rating {match[2]} of {title!r}", f"is not on the scale of {scale}", "give one that is")
        if len(parse_history(catalog, title)) > 1:
            raise DataError(f"history {title!r}", "has titles without a rating", 'write "title=4; title=5"')
        typed.append((find_item(catalog, title), rating))
        place = match.end()
    if not typed:
        raise DataError("history", "holds no rating", 'write "title=4; title=5", oldest first')
    return typed
