"""Baselines behind the same interface as the methods: `Recommender` for ranking, `RatingPredictor` for ratings.

Entry points: `RANKING_BASELINES`, by the name that tables and configs use, and `ratings.RATING_BASELINES`.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.classical.content import TfidfNeighbours
from reckon.baselines.classical.ease import EASE
from reckon.baselines.classical.factors import ALS, BPR
from reckon.baselines.classical.hybrid import Hybrid
from reckon.baselines.classical.neighbours import ItemKNN
from reckon.baselines.classical.popularity import Popularity, RecentPopularity
from reckon.baselines.generative.bigrec import BIGRec
from reckon.baselines.generative.d3 import D3
from reckon.baselines.generative.tiger import TIGER
from reckon.baselines.sequential.bert4rec import BERT4Rec
from reckon.baselines.sequential.caser import Caser
from reckon.baselines.sequential.gru4rec import GRU4Rec
from reckon.baselines.sequential.sasrec import SASRec

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
