"""Metrics of rankings, of recommended lists and of predicted ratings, with bootstrap intervals over users and tests of
differences. Uses numpy and scipy only; knows nothing of models.
"""

from reckon.metrics.bootstrap import Interval, PairedDifference, bootstrap_interval, paired_interval
from reckon.metrics.lists import list_summary
from reckon.metrics.ranking import (
    CUTOFFS,
    RankingResult,
    coverage,
    hit_at,
    metric_interval,
    metric_values,
    mrr,
    ndcg_at,
    paired_difference,
    rank_values,
    ranks_from_scores,
    recall_at,
    summary,
)
from reckon.metrics.significance import holm, minimum_detectable_difference, spread

__all__ = [
    "CUTOFFS",
    "Interval",
    "PairedDifference",
    "RankingResult",
    "bootstrap_interval",
    "coverage",
    "hit_at",
    "holm",
    "list_summary",
    "metric_interval",
    "metric_values",
    "minimum_detectable_difference",
    "mrr",
    "ndcg_at",
    "paired_difference",
    "paired_interval",
    "rank_values",
    "ranks_from_scores",
    "recall_at",
    "spread",
    "summary",
]
