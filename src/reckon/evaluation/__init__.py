"""Evaluations: compare results, write `metrics.json`, and show everything in one self-contained page."""

from reckon.evaluation.compare import Pair, compare, comparison_table, pairs_table, rates_table, write_metrics
from reckon.evaluation.report import ExampleUser, ReportData, write_report
from reckon.evaluation.run import Evaluation, evaluate_run, ranking_result, result_of

__all__ = [
    "Evaluation",
    "ExampleUser",
    "Pair",
    "ReportData",
    "compare",
    "comparison_table",
    "evaluate_run",
    "pairs_table",
    "ranking_result",
    "rates_table",
    "result_of",
    "write_metrics",
    "write_report",
]
