"""`reckon demo`: the whole main job on simulated data, with no network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import OutDir, Seed, refuse_option


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"


class Method(StrEnum):
    R2EC = "r2ec"
    RPOREC = "rporec"


def demo(
    out: OutDir = Path("demo"),
    seed: Seed = 0,
    task: Annotated[
        Task, typer.Option(help="ranking: the next book is recommended; rating: RecZero predicts its rating.")
    ] = Task.RANKING,
    method: Annotated[
        Method | None, typer.Option(help="Rankings: who recommends; R2ec where this is left out.")
    ] = None,
) -> None:
    """Simulate a bookshop, train on it, and compare with simpler methods and with the best possible."""
    from reckon.demo import run_demo

    if task is Task.RATING:
        refuse_option("--method", method, "ratings are predicted by RecZero")
    report = run_demo(out, seed, task.value, (method or Method.R2EC).value)
    typer.echo(f"Open {report} in a browser. Numbers: {out / 'metrics.json'}")
