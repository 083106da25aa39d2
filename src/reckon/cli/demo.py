"""`reckon demo`: the whole main job on simulated data, with no network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import OutDir, Seed


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"


def demo(
    out: OutDir = Path("demo"),
    seed: Seed = 0,
    task: Annotated[
        Task, typer.Option(help="ranking: R2ec recommends the next book; rating: RecZero predicts its rating.")
    ] = Task.RANKING,
) -> None:
    """Simulate a bookshop, train on it, and compare with simpler methods and with the best possible."""
    from reckon.demo import run_demo

    report = run_demo(out, seed, task.value)
    typer.echo(f"Open {report} in a browser. Numbers: {out / 'metrics.json'}")
