"""Rows of ratings in groups, and rows on which methods disagree: where a mean over all rows hides what happens.

Entry points: `by_known_ratings`, `by_item_ratings`, `by_true_rating`, `rating_disagreements`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from reckon.comparison.disagreement import RatingDisagreement, RatingView
from reckon.comparison.ranking.groups import LENGTHS, POPULARITY, SHOWN_METHODS, Groups, contested_rows, groups_of
from reckon.comparison.statistics import Standing
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples
from reckon.data.scale import Scale
from reckon.evaluation.rating.examples import steps_of
from reckon.metrics.rating import absolute_errors
from reckon.prompts.rating import parse_rating
from reckon.reports.rating.charts import few_values

PARTS = 5  # of a scale with many values, or with any value in between
SHOWN_HISTORY = 10  # ratings of the user, in an example


def by_known_ratings(examples: RatingExamples) -> Groups:
    """Rows by how many ratings of the user are visible."""
    return groups_of(examples.visible_of_user[:, 1] - examples.visible_of_user[:, 0], LENGTHS)


def by_item_ratings(examples: RatingExamples) -> Groups:
    """Rows by how many ratings of the item by others are visible; 0 is an item that nobody is known to have rated."""
    start, end, own = examples.visible_of_item.T
    return groups_of(np.maximum(end - start - own, 0), POPULARITY)


def by_true_rating(examples: RatingExamples, scale: Scale) -> Groups:
    """Rows by the rating that was given, or by PARTS equal parts of a scale with many values."""
    if few_values(scale):
        values = np.array(scale.values())
        place = np.abs(examples.ratings[:, None] - values).argmin(axis=1)
        names = [f"{value:g}" for value in values]
    else:
        edges = np.linspace(scale.lowest, scale.highest, PARTS + 1)
        place = np.clip(np.searchsorted(edges, examples.ratings, side="right") - 1, 0, PARTS - 1)
        names = [f"{low:.3g}–{high:.3g}" for low, high in pairwise(edges)]
    present, of_row, counts = np.unique(place, return_inverse=True, return_counts=True)
    labels = [f"{names[value]}\n{count:,} rows" for value, count in zip(present, counts, strict=True)]
    return Groups(tuple(labels), of_row)


def rating_disagreements(
    standings: Sequence[Standing], examples: RatingExamples, dataset: Dataset, count: int = 6
) -> list[RatingDisagreement]:
    """Rows on which the absolute errors of at most SHOWN_METHODS methods differ most, each the closest in turns.

    Args:
        standings: whole ones, the most interesting first; their first seed is shown.
        examples: the rows, with what is to be shown of them.
        dataset: their catalog.
        count: rows at most.
    """
    shown = list(standings[:SHOWN_METHODS])
    if len(shown) < 2:
        return []
    worth = -np.stack([absolute_errors(standing.results[0]) for standing in shown])  # [M, U]
    return [_row_of(shown, examples, dataset, row) for row in contested_rows(worth, count)]


def _row_of(shown: Sequence[Standing], examples: RatingExamples, dataset: Dataset, row: int) -> RatingDisagreement:
    titles, example, views = dataset.catalog.titles, examples[row], []
    for standing in shown:
        recommendations, scale = next(iter(standing.cells.values())).recommendations, standing.results[0].scale
        predicted, reply = float(recommendations.predictions[row]), recommendations.replies[row]
        views.append(
            RatingView(
                standing.name,
                None if np.isnan(predicted) else predicted,
                steps_of(parse_rating(reply, scale).blocks) if reply else [],
                reply,
                recommendations.problems[row],
            )
        )
    return RatingDisagreement(
        example.user_id,
        [(titles[rated.item_index], rated.rating) for rated in example.user_history[-SHOWN_HISTORY:]],
        titles[example.item_index],
        example.rating,
        example.user_mean,
        example.item_mean,
        views,
    )
