"""`reckon train METHOD`: from a data set and a backbone to a run directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import DataDir, OutDir, Overrides

app = typer.Typer(no_args_is_help=True)


class Preset(StrEnum):
    PAPER = "paper"
    AS_RELEASED = "as_released"
    SMALL = "small"


class Arm(StrEnum):
    FULL = "full"
    NO_REASONING = "no-reasoning"
    NO_RANKING_REWARD = "no-ranking-reward"
    NO_SIMILARITY_REWARD = "no-similarity-reward"


@app.callback()
def _group() -> None:
    """Train a recommender."""


@app.command()
def r2ec(
    data: DataDir,
    backbone: Annotated[
        str, typer.Option("--backbone", metavar="PATH_OR_ID", help="Hugging Face causal LM: a folder or a hub id.")
    ],
    out: OutDir,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="YAML file over the preset; --set wins over it.")
    ] = None,
    preset: Annotated[
        Preset, typer.Option(help="paper: the published method; as_released: the authors' code; small: two CPU cores.")
    ] = Preset.PAPER,
    arm: Annotated[Arm, typer.Option(help="The whole method, or one of its parts left out.")] = Arm.FULL,
    overrides: Overrides = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of the run directory, bit for bit.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of everything random; overrides the config's.")] = None,
) -> None:
    """Train R2ec with RecPO: one model that writes its reasoning and ranks the catalog from where it ends."""
    from reckon.methods.r2ec_training import train_run

    train_run(
        data=data,
        backbone=backbone,
        out=out,
        config_file=config,
        preset=preset.value,
        arm=arm.value,
        overrides=overrides or [],
        resume=resume,
        seed=seed,
    )
    typer.echo(f"Wrote {out}. Next: reckon evaluate {out}")
