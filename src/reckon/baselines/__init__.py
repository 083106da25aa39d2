"""Baselines behind the same interface as the methods: `Recommender` for ranking, `RatingPredictor` for ratings.

Entry points: `RANKING_BASELINES`, by the name that tables and configs use, and `ratings.RATING_BASELINES`.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.bert4rec import BERT4Rec
from reckon.baselines.bigrec import BIGRec
from reckon.baselines.caser import Caser
from reckon.baselines.content import TfidfNeighbours
from reckon.baselines.d3 import D3
from reckon.baselines.ease import EASE
from reckon.baselines.factors import ALS, BPR
from reckon.baselines.gru4rec import GRU4Rec
from reckon.baselines.hybrid import Hybrid
from reckon.baselines.neighbours import ItemKNN
from reckon.baselines.popularity import Popularity, RecentPopularity
from reckon.baselines.sasrec import SASRec
from reckon.baselines.tiger import TIGER

RANKING_BASELINES: dict[str, type[Baseline]] = {
    baseline.NAME: baseline
    for baseline in (
        Popularity,
        RecentPopularity,
        ItemKNN,
        EASE,
        ALS,
        BPR,
        TfidfNeighbours,
        Hybrid,
        SASRec,
        BERT4Rec,
        GRU4Rec,
        Caser,
        TIGER,
        BIGRec,
        D3,
    )
}

__all__ = ["D3", "RANKING_BASELINES", "TIGER", "BIGRec", "Baseline", "Popularity", "RecentPopularity"]
