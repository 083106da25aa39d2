"""`reckon backbone new`: a small decoder pretrained on a data set's own text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import DataDir, OutDir, Overrides, Seed

app = typer.Typer(no_args_is_help=True)


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"


class Size(StrEnum):
    TINY = "tiny"
    SMALL = "small"


@app.callback()
def _group() -> None:
    """Make a small language model where no open one can be downloaded."""


@app.command()
def new(
    data: DataDir,
    out: OutDir,
    size: Annotated[Size, typer.Option(help="Width and depth of the decoder.")] = Size.TINY,
    task: Annotated[
        Task, typer.Option(help="What it will be trained for: ranking (R2ec), or rating (RecZero, RecOne).")
    ] = Task.RANKING,
    start: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Go on from a small backbone or RUN/model: it learns to write again."),
    ] = None,
    seed: Seed = 0,
    overrides: Overrides = None,
) -> None:
    """Train a tokenizer and pretrain a small decoder on the text of DIR; writes a Hugging Face model folder."""
    from reckon.data import Dataset
    from reckon.models.pretrain import new_backbone

    path: Path = new_backbone(
        Dataset.load(data),
        out,
        size=size.value,
        task=task.value,
        seed=seed,
        overrides=overrides or [],
        start=start,
    )
    method = "r2ec" if task is Task.RANKING else "reczero"
    typer.echo(f"Wrote {path}. Next: reckon train {method} --data {data} --backbone {path} --out RUN")
