"""`reckon train METHOD`: from a data set and a backbone to a run directory."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import DataDir, OutDir, Overrides
from reckon.cli.traces import BaseURL, Kind, MaxTokens, ModelName, ReplyFile, make_teacher

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


class RPORecArm(StrEnum):
    FULL = "full"
    HISTORY_ONLY = "history-only"


class Stage(StrEnum):
    BOTH = "both"
    RECHEAD = "rechead"
    REASONING = "reasoning"


class RatingArm(StrEnum):
    FULL = "full"
    EXACT_ANSWER = "exact-answer"
    NO_FORMAT = "no-format"


Backbone = Annotated[
    str, typer.Option("--backbone", metavar="PATH_OR_ID", help="Hugging Face causal LM: a folder or a hub id.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML file over the preset; --set wins over it.")
]
PresetOption = Annotated[
    Preset,
    typer.Option(
        help="paper: the published method; as_released: the authors' code; small: two CPU cores, with the compact "
        "prompts that backbones of `reckon backbone new` read."
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the last checkpoint of the run directory, bit for bit.")
]
RunSeed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random; overrides the config's.")]


@app.callback()
def _group() -> None:
    """Train a recommender."""


@app.command(epilog="Example: reckon train r2ec --data data/shop --backbone Qwen/Qwen2.5-0.5B-Instruct --out runs/shop")
def r2ec(
    data: DataDir,
    backbone: Backbone,
    out: OutDir,
    config: ConfigFile = None,
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[Arm, typer.Option(help="The whole method, or one of its parts left out.")] = Arm.FULL,
    overrides: Overrides = None,
    resume: Resume = False,
    seed: RunSeed = None,
) -> None:
    """Train R2ec with RecPO: one model that writes its reasoning and ranks the catalog from where it ends."""
    from reckon.methods.r2ec.trainer import train_run

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
    _say_what_came_of_it(out)


@app.command(
    epilog="Example: reckon train reczero --data data/music --backbone backbones/music --out runs/music --preset small"
)
def reczero(
    data: DataDir,
    backbone: Backbone,
    out: OutDir,
    config: ConfigFile = None,
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[RatingArm, typer.Option(help="The whole method, or another reward.")] = RatingArm.FULL,
    overrides: Overrides = None,
    resume: Resume = False,
    seed: RunSeed = None,
) -> None:
    """Train RecZero: a model that predicts a rating after four steps of reasoning, by reinforcement alone."""
    from reckon.methods.reczero.trainer import train_run

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
    _say_what_came_of_it(out)


@app.command(
    epilog="Example: reckon train recone --data data/music --backbone Qwen/Qwen2.5-0.5B-Instruct "
    "--traces traces/music --out runs/music-one"
)
def recone(
    data: DataDir,
    backbone: Backbone,
    traces: Annotated[Path, typer.Option(metavar="DIR", help="Kept traces, made by `reckon traces make`.")],
    out: OutDir,
    config: ConfigFile = None,
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[RatingArm, typer.Option(help="The whole method, or another reward.")] = RatingArm.FULL,
    overrides: Overrides = None,
    resume: Resume = False,
    seed: RunSeed = None,
) -> None:
    """Train RecOne: fine-tune on a teacher's traces, then reinforce as RecZero does."""
    from reckon.methods.recone.stages import train_run

    train_run(
        data=data,
        backbone=backbone,
        traces=traces,
        out=out,
        config_file=config,
        preset=preset.value,
        arm=arm.value,
        overrides=overrides or [],
        resume=resume,
        seed=seed,
    )
    _say_what_came_of_it(out)


@app.command(
    epilog="Example: reckon train rporec --data data/shop --backbone Qwen/Qwen2.5-0.5B-Instruct --out runs/shop\n\n"
    "Example: reckon train rporec --data data/shop --start runs/stage-one --stage reasoning --out runs/stage-two\n\n"
    "Example: reckon train rporec --data data/shop --backbone backbones/shop --out runs/taught --teacher openai "
    "--model gpt-5-mini"
)
def rporec(
    data: DataDir,
    out: OutDir,
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", metavar="PATH_OR_ID", help="Hugging Face causal LM: a folder or a hub id."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start", metavar="RUN", help="Go on from a finished RPORec run: its model, Rechead and settings."
        ),
    ] = None,
    stage: Annotated[
        Stage,
        typer.Option(
            help="rechead: Stage I, the Rechead on reasoning written once; reasoning: Stage II, the language model "
            "reinforced by the Rechead of --start; both: in turns."
        ),
    ] = Stage.BOTH,
    rounds: Annotated[int, typer.Option(min=1, help="How often both stages take turns.")] = 1,
    config: ConfigFile = None,
    preset: Annotated[
        Preset | None,
        typer.Option(help="As for r2ec; the paper's where neither this nor --start is given."),
    ] = None,
    arm: Annotated[
        RPORecArm | None, typer.Option(help="The whole method (default), or the Rechead on the history alone.")
    ] = None,
    overrides: Overrides = None,
    resume: Resume = False,
    seed: RunSeed = None,
    teacher: Annotated[
        Kind | None, typer.Option(help="Who writes the reasoning of the first Stage I; default: the model itself.")
    ] = None,
    model: ModelName = None,
    base_url: BaseURL = None,
    file: ReplyFile = None,
    max_tokens: MaxTokens = 1024,
) -> None:
    """Train RPORec: a language model that reasons in text, and a small Rechead that retrieves by what it wrote."""
    from reckon.methods.rporec.rounds import train_run
    from reckon.prompts.rporec import REPLY_END

    asked = None
    if teacher is not None:
        asked = make_teacher(teacher, model, base_url, file, max_tokens, reply_end=REPLY_END)
    train_run(
        data=data,
        out=out,
        backbone=backbone,
        start=start,
        stage=stage.value,
        rounds=rounds,
        config_file=config,
        preset=None if preset is None else preset.value,
        arm=None if arm is None else arm.value,
        overrides=overrides or [],
        resume=resume,
        seed=seed,
        teacher=asked,
    )
    _say_what_came_of_it(out)


def _say_what_came_of_it(out: Path) -> None:
    from reckon.runs.read import outcome_of

    typer.echo(f"{outcome_of(out)} Wrote {out}. Next: reckon evaluate {out}")
