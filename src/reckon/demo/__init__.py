"""The whole main job of each task on simulated data, with no network: `reckon demo`."""

from collections.abc import Callable
from pathlib import Path

from reckon.errors import ConfigError
from reckon.methods.method import Task, imported

RANKING_DEMOS = {  # by the method's name in the registry
    "r2ec": "reckon.demo.bookshop:run_ranking_demo",
    "rporec": "reckon.demo.rporec_bookshop:run_rporec_demo",
}


def run_demo(out: str | Path, seed: int = 0, task: Task = "ranking", method: str = "r2ec") -> Path:
    """Run everything into a directory and return the path of the report.

    Args:
        out: new or empty, or an earlier demo's directory, which is replaced.
        seed: everything follows from it.
        task: `ranking` or `rating` (RecZero).
        method: of ranking, one of RANKING_DEMOS.

    Raises:
        ConfigError: the method has no demo.
    """
    if task == "rating":
        from reckon.demo.rated_bookshop import run_rating_demo

        return run_rating_demo(out, seed)
    if method not in RANKING_DEMOS:
        raise ConfigError("method", method, "has no demo", f"use one of {', '.join(RANKING_DEMOS)}")
    run: Callable[[str | Path, int], Path] = imported(RANKING_DEMOS[method])
    return run(out, seed)
