"""`reckon config METHOD`: every setting with what it accepts, its default and its meaning."""

import sys
from typing import Annotated

import typer
import yaml
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reckon.cli.train import Preset

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """List every setting of a method, with its default and meaning."""


@app.command()
def r2ec(
    preset: Annotated[Preset, typer.Option(help="Show this preset's values as the defaults.")] = Preset.PAPER,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="Print a complete config file instead of the table.")] = False,
) -> None:
    """List every setting of `reckon train r2ec`."""
    from reckon.methods.r2ec import R2ecConfig, preset_config

    show(R2ecConfig, preset_config(preset.value), as_yaml=as_yaml)


def show(cls: type, base: object, *, as_yaml: bool) -> None:
    """Render a config class with the values of `base`."""
    from reckon.config import to_dict
    from reckon.config_docs import describe

    if as_yaml:
        yaml.safe_dump(to_dict(base), sys.stdout, sort_keys=False, allow_unicode=True)
        return
    table = Table("setting", "accepts", "default", "meaning", box=box.SIMPLE_HEAD)
    for row in describe(cls, base):
        # Text, not markup: a default such as [5, 10] is not a style.
        table.add_row(*(Text(cell) for cell in (row.path, row.type, row.default, row.doc)))
    Console().print(table)
