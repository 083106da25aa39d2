"""Rows of ratings on which methods disagree most about how far they are off.

Entry point: `disagreements`.
"""

from collections.abc import Sequence

import numpy as np

from reckon.comparison.disagreement import RatingDisagreement, RatingView
from reckon.comparison.ranking.disagreements import SHOWN_METHODS, contested_rows
from reckon.comparison.statistics import Standing
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples
from reckon.evaluation.rating.examples import steps_of
from reckon.metrics.rating import absolute_errors
from reckon.prompts.rating import parse_rating

SHOWN_HISTORY = 10  # ratings of the user, in an example


def disagreements(
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
