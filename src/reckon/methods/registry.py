"""Load a finished run that ranks, whatever its method.

Entry point: `load_ranking_model`. A method that ranks is named here once more, and nowhere above.
"""

from pathlib import Path

from reckon.errors import CheckpointError
from reckon.methods.r2ec import R2ec
from reckon.methods.ranking_model import RankingModel
from reckon.methods.rporec import RPORec

METHODS: tuple[type[RankingModel], ...] = (R2ec, RPORec)


def load_ranking_model(run: Path) -> RankingModel:
    """The recommender of a finished run. Raises CheckpointError where there is none, or a part is damaged."""
    for method in METHODS:
        if (run / f"{method.METHOD}.json").exists():
            return method.from_pretrained(run)
    raise CheckpointError(run, "is not a finished run that ranks", "give the directory of `reckon train`, once ended")
