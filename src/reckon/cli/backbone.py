"""`reckon backbone new`: a small decoder pretrained on a data set's own text."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import DataDir, OutDir, Seed
from reckon.methods.registry import METHODS

app = typer.Typer(no_args_is_help=True)


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"
    RPOREC = "rporec"


class Size(StrEnum):
    TINY = "tiny"
    SMALL = "small"


def _methods_of(task: Task) -> str:
    return ", ".join(method.name for method in METHODS.values() if method.backbone_task == task.value)


@app.callback()
def _group() -> None:
    """Make a small language model where no open one can be downloaded."""


@app.command(
    epilog="Example: reckon backbone new --data data/shop --out backbones/shop\n\n"
    "Example: reckon backbone new --data data/music --task rating --size small --out backbones/music --set steps=200"
)
def new(
    data: DataDir,
    out: OutDir,
    size: Annotated[Size, typer.Option(help="tiny: width 128, 4 layers; small: width 256, 6 layers.")] = Size.TINY,
    task: Annotated[
        Task,
        typer.Option(
            help=f"What it will be trained for: {', '.join(f'{task} ({_methods_of(task)})' for task in Task)}. "
            "It learns the compact prompts of that task, so train it with --preset small."
        ),
    ] = Task.RANKING,
    start: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="Go on from a small backbone or RUN/model: it learns to write again."),
    ] = None,
    seed: Seed = 0,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting, e.g. steps=200; may be repeated. `reckon config backbone` lists them all.",
        ),
    ] = None,
) -> None:
    """Train a tokenizer and pretrain a small decoder on the text of DIR; writes a Hugging Face model folder."""
    from reckon.data import Dataset
    from reckon.small_backbone.pretrain import new_backbone

    path: Path = new_backbone(
        Dataset.load(data),
        out,
        size=size.value,
        task=task.value,
        seed=seed,
        overrides=overrides or [],
        start=start,
    )
    method = next(one for one in METHODS.values() if one.backbone_task == task.value)
    typer.echo(
        f"Wrote {path}. Next: reckon train {method.name} --data {data} --backbone {path} --out RUN --preset small"
    )
