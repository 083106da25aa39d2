"""Ranks to Hit, NDCG, MRR and coverage, with bootstrap intervals over users; numpy only, knows nothing of models."""

from reckon.metrics.bootstrap import Interval, PairedDifference, bootstrap_interval, paired_interval
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
    ranks_from_scores,
    summary,
)

__all__ = [
    "CUTOFFS",
    "Interval",
    "PairedDifference",
    "RankingResult",
    "bootstrap_interval",
    "coverage",
    "hit_at",
    "metric_interval",
    "metric_values",
    "mrr",
    "ndcg_at",
    "paired_difference",
    "paired_interval",
    "ranks_from_scores",
    "summary",
]
