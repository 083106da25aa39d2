"""Evaluations: compare results, write `metrics.json`, and show everything in one self-contained page."""

from reckon.evaluation.compare import Pair, compare, comparison_table, pairs_table, rates_table, write_metrics
from reckon.evaluation.ranking.evaluate import Evaluation, evaluate_run, ranking_result, result_of
from reckon.evaluation.rating.evaluate import (
    RatingEvaluation,
    baseline_results,
    evaluate_rating_run,
    problems_of,
    rating_result,
    shown_rows,
)
from reckon.evaluation.rating.examples import ShownRating, shown_rating
from reckon.evaluation.rating.live import RatingNow, rate_now
from reckon.reports.ranking.report import ExampleUser, ReportData, write_report
from reckon.reports.rating.report import RatingReportData
from reckon.reports.rating.tables import RatingRow, measure, rating_pairs

__all__ = [
    "Evaluation",
    "ExampleUser",
    "Pair",
    "RatingEvaluation",
    "RatingNow",
    "RatingReportData",
    "RatingRow",
    "ReportData",
    "ShownRating",
    "baseline_results",
    "compare",
    "comparison_table",
    "evaluate_rating_run",
    "evaluate_run",
    "measure",
    "pairs_table",
    "problems_of",
    "ranking_result",
    "rate_now",
    "rates_table",
    "rating_pairs",
    "rating_result",
    "result_of",
    "shown_rating",
    "shown_rows",
    "write_metrics",
    "write_report",
]
