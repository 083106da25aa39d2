"""Evaluation of finished runs on held-out rows; returns results, which `reckon.reports` shows."""

from reckon.evaluation.compare import compare_runs
from reckon.evaluation.pairs import Pair
from reckon.evaluation.ranking.evaluate import Evaluation, ranking_result, result_of
from reckon.evaluation.ranking.examples import ExampleUser
from reckon.evaluation.rating.evaluate import RatingEvaluation, baseline_results, problems_of, rating_result
from reckon.evaluation.rating.examples import ShownRating, shown_rating
from reckon.evaluation.rating.live import RatingNow, rate_now
from reckon.evaluation.rating.measure import RatingRow, measure
from reckon.evaluation.run import evaluate

__all__ = [
    "Evaluation",
    "ExampleUser",
    "Pair",
    "RatingEvaluation",
    "RatingNow",
    "RatingRow",
    "ShownRating",
    "baseline_results",
    "compare_runs",
    "evaluate",
    "measure",
    "problems_of",
    "ranking_result",
    "rate_now",
    "rating_result",
    "result_of",
    "shown_rating",
]
