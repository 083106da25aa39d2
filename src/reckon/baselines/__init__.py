"""Baselines behind the same interface as the methods: `Recommender` for ranking, `RatingPredictor` for ratings.

Entry points: `RANKING_BASELINES`, by the name that tables and configs use, and `ratings.RATING_BASELINES`.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.bigrec import Bigrec
from reckon.baselines.d3 import D3
from reckon.baselines.popularity import Popularity, RecentPopularity
from reckon.baselines.tiger import Tiger

RANKING_BASELINES: dict[str, type[Baseline]] = {
    baseline.NAME: baseline for baseline in (Popularity, RecentPopularity, Tiger, Bigrec, D3)
}

__all__ = ["D3", "RANKING_BASELINES", "Baseline", "Bigrec", "Popularity", "RecentPopularity", "Tiger"]
