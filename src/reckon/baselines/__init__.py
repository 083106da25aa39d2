"""Baselines behind the same interface as the methods: `Recommender` for ranking, `RatingPredictor` for ratings.

Entry points: `RANKING_BASELINES`, by the name that tables and configs use, and `ratings.RATING_BASELINES`.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.popularity import Popularity, RecentPopularity

RANKING_BASELINES: dict[str, type[Baseline]] = {baseline.NAME: baseline for baseline in (Popularity, RecentPopularity)}

__all__ = ["RANKING_BASELINES", "Baseline", "Popularity", "RecentPopularity"]
