"""`reckon demo`: the whole main job on simulated data, with no network."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import OutDir, Seed, choice, refuse_option
from reckon.methods.registry import METHODS


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"


RANKING = [method.name for method in METHODS.values() if method.task == "ranking"]
Method = choice(RANKING)


def demo(
    out: OutDir = Path("demo"),
    seed: Seed = 0,
    task: Annotated[
        Task, typer.Option(help="ranking: the next book is recommended; rating: RecZero predicts its rating.")
    ] = Task.RANKING,
    method: Annotated[
        Method | None,  # type: ignore[valid-type]  # made of the registry
        typer.Option(help="Rankings: who recommends; R2ec where this is left out."),
    ] = None,
) -> None:
    """Simulate a bookshop, train on it, and compare with simpler methods and with the best possible."""
    from reckon.demo import run_demo

    if task is Task.RATING:
        refuse_option("--method", method, "ratings are predicted by RecZero")
    report = run_demo(out, seed, task.value, (method or Method(RANKING[0])).value)
    typer.echo(f"Open {report} in a browser. Numbers: {out / 'metrics.json'}")
