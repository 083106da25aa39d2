"""The rows on which the errors of methods differ most.

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
from reckon.prompts.rating_reply import parse_rating

SHOWN_HISTORY = 10  # shown ratings of the user's history


def disagreements(
    standings: Sequence[Standing], examples: RatingExamples, dataset: Dataset, count: int = 6
) -> list[RatingDisagreement]:
    """Rows with the largest differences in absolute error between at most SHOWN_METHODS methods; the methods alternate
    as the best one.

    Args:
        standings: complete ones, most important first; their first seed is shown.
        examples: the rows, with their histories.
        dataset: gives the titles.
        count: most rows.
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
