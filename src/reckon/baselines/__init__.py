"""Baselines behind the same interface as the methods: `Recommender` for ranking, `RatingPredictor` for ratings.

Entry points: `RANKING_BASELINES`, by the name that tables and configs use, and `rating.predictors.RATING_BASELINES`.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.classical.popularity import Popularity, RecentPopularity
from reckon.baselines.fusion.fusion import Fusion
from reckon.baselines.generative.bigrec import BIGRec
from reckon.baselines.generative.d3 import D3
from reckon.baselines.generative.tiger import TIGER
from reckon.baselines.scorers import SCORERS

RANKING_BASELINES: dict[str, type[Baseline]] = SCORERS | {
    baseline.NAME: baseline for baseline in (Fusion, TIGER, BIGRec, D3)
}

__all__ = ["D3", "RANKING_BASELINES", "TIGER", "BIGRec", "Baseline", "Fusion", "Popularity", "RecentPopularity"]
