"""Evaluations: compare results, write `metrics.json`, and show everything in one self-contained page."""

from reckon.evaluation.compare import Pair, compare, comparison_table, pairs_table, rates_table, write_metrics
from reckon.evaluation.report import ExampleUser, ReportData, write_report

__all__ = [
    "ExampleUser",
    "Pair",
    "ReportData",
    "compare",
    "comparison_table",
    "pairs_table",
    "rates_table",
    "write_metrics",
    "write_report",
]
