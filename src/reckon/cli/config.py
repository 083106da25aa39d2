"""`reckon config`: every setting of a method or of a small backbone, with what it accepts, its default and meaning."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from reckon.cli.backbone import Size, Task
from reckon.cli.train import Arm, Preset, RatingArm, RPORecArm

app = typer.Typer(no_args_is_help=True)


class Form(StrEnum):
    TEXT = "text"
    YAML = "yaml"
    MARKDOWN = "markdown"


@app.callback()
def _group() -> None:
    """List every setting of a method or of a small backbone, with its default and meaning."""


PresetOption = Annotated[Preset, typer.Option(help="Show this preset's values as the defaults.")]
FormOption = Annotated[
    Form, typer.Option("--format", help="yaml: all of it, as a config file holds it; markdown: a table.")
]


@app.command(epilog="Example: reckon config r2ec --preset small --format yaml")
def r2ec(
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[Arm, typer.Option(help="The whole method, or one of its parts left out.")] = Arm.FULL,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon train r2ec`."""
    from reckon.methods.r2ec.config import R2ecConfig
    from reckon.methods.r2ec.config import preset as preset_config

    show(R2ecConfig, preset_config(preset.value, arm.value), form)


@app.command(epilog="Example: reckon config reczero --arm no-format")
def reczero(
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[RatingArm, typer.Option(help="The whole method, or another reward.")] = RatingArm.FULL,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon train reczero`."""
    from reckon.methods.reczero.config import RecZeroConfig
    from reckon.methods.reczero.config import preset as preset_config

    show(RecZeroConfig, preset_config(preset.value, arm.value), form)


@app.command(epilog="Example: reckon config recone --preset small")
def recone(
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[RatingArm, typer.Option(help="The whole method, or another reward.")] = RatingArm.FULL,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon train recone`."""
    from reckon.methods.recone.stages import RecOneConfig, constants

    show(RecOneConfig, constants(preset.value, arm.value), form)


@app.command(epilog="Example: reckon config rporec --preset small")
def rporec(
    preset: PresetOption = Preset.PAPER,
    arm: Annotated[RPORecArm, typer.Option(help="The whole method, or the history alone.")] = RPORecArm.FULL,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon train rporec`."""
    from reckon.methods.rporec.config import RPORecConfig
    from reckon.methods.rporec.config import preset as preset_config

    show(RPORecConfig, preset_config(preset.value, arm.value), form)


@app.command(epilog="Example: reckon config backbone --size small --task rating")
def backbone(
    size: Annotated[Size, typer.Option(help="Show this size's values as the defaults.")] = Size.TINY,
    task: Annotated[Task, typer.Option(help="Show this task's values as the defaults.")] = Task.RANKING,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon backbone new`."""
    from reckon.small_backbone.pretrain import PretrainConfig, pretrain_config

    show(PretrainConfig, pretrain_config(size.value, task.value), form)


def show(cls: type, base: object, form: Form) -> None:
    """Render a config class with the values of `base`."""
    from reckon.config import to_dict
    from reckon.config_docs import describe, markdown_table

    if form is Form.YAML:
        yaml.safe_dump(to_dict(base), sys.stdout, sort_keys=False, allow_unicode=True)
        return
    if form is Form.MARKDOWN:
        typer.echo(markdown_table(describe(cls, base)), nl=False)
        return
    console = Console(highlight=False)
    for setting in describe(cls, base):
        # A heading and a paragraph, not a table: four columns leave the meaning too narrow on 80 characters.
        console.print(Text.assemble((setting.path, "bold"), f" = {setting.default}  ", (setting.type, "dim")))
        console.print(Padding(Text(setting.doc), (0, 0, 0, 4), expand=False))
