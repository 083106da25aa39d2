"""The whole main job of each task on simulated data, with no network: `reckon demo`."""

from pathlib import Path
from typing import Literal

Task = Literal["ranking", "rating"]
RankingMethod = Literal["r2ec", "rporec"]


def run_demo(out: str | Path, seed: int = 0, task: Task = "ranking", method: RankingMethod = "r2ec") -> Path:
    """Run everything into a directory and return the path of the report.

    Args:
        out: new or empty, or an earlier demo's directory, which is replaced.
        seed: everything follows from it.
        task: `ranking` or `rating` (RecZero).
        method: of ranking.
    """
    if task == "rating":
        from reckon.demo.rated_bookshop import run_rating_demo

        return run_rating_demo(out, seed)
    if method == "rporec":
        from reckon.demo.rporec_bookshop import run_rporec_demo

        return run_rporec_demo(out, seed)
    from reckon.demo.bookshop import run_ranking_demo

    return run_ranking_demo(out, seed)
