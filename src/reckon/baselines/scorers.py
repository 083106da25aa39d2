"""Baselines with a score for every item, by their names in tables and configs: all but the generative ones.

Entry point: `SCORERS`. D3's assistant is one of them.
"""

from reckon.baselines.baseline import Baseline
from reckon.baselines.classical.content import TfidfNeighbours
from reckon.baselines.classical.ease import EASE
from reckon.baselines.classical.encoded import EncoderNeighbours
from reckon.baselines.classical.factors import ALS, BPR
from reckon.baselines.classical.hybrid import Hybrid
from reckon.baselines.classical.neighbours import ItemKNN
from reckon.baselines.classical.popularity import Popularity, RecentPopularity
from reckon.baselines.sequential.bert4rec import BERT4Rec
from reckon.baselines.sequential.caser import Caser
from reckon.baselines.sequential.gru4rec import GRU4Rec
from reckon.baselines.sequential.sasrec import SASRec

SCORERS: dict[str, type[Baseline]] = {
    baseline.NAME: baseline
    for baseline in (
        Popularity,
        RecentPopularity,
        ItemKNN,
        EASE,
        ALS,
        BPR,
        TfidfNeighbours,
        EncoderNeighbours,
        Hybrid,
        SASRec,
        BERT4Rec,
        GRU4Rec,
        Caser,
    )
}
