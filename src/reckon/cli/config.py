"""`reckon config`: every setting of a method, of a small backbone or of the service, with what it accepts, its default
and meaning; and the comparisons that come with Reckon.

Entry point: `app`. A command for each method of the registry, one for small backbones, one for comparisons, one for the
service.
"""

import sys
from collections.abc import Callable
from enum import StrEnum
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from reckon.cli.backbone import Size, Task
from reckon.cli.options import choice
from reckon.methods.method import WHOLE, Method
from reckon.methods.registry import METHODS


class Form(StrEnum):
    TEXT = "text"
    YAML = "yaml"
    MARKDOWN = "markdown"


FormOption = Annotated[
    Form, typer.Option("--format", help="yaml: all of it, as a config file holds it; markdown: a table.")
]


def make_app() -> typer.Typer:
    """A command for each method that the registry has now, `backbone`, `compare` and `serve`."""
    commands = typer.Typer(no_args_is_help=True)

    @commands.callback()
    def _group() -> None:
        """List every setting of a method, a small backbone or the service, or print a comparison that comes with
        Reckon."""

    for method in METHODS.values():
        example = f"Example: reckon config {method.name} {method.config_example}".strip()
        text = f"List every setting of `reckon train {method.name}`."
        commands.command(method.name, help=text, epilog=example)(_command(method))
    commands.command(epilog="Example: reckon config backbone --size small --task rating")(backbone)
    commands.command(epilog="Example: reckon config compare\n\nExample: reckon config compare baselines")(compare)
    commands.command(epilog="Example: reckon config serve --format yaml")(serve)
    return commands


def _command(method: Method) -> Callable[..., None]:
    def config(preset: StrEnum, arm: StrEnum, form: Form) -> None:
        show(method.config, method.preset(preset.value, arm.value), form)

    presets, arms = choice(method.presets), choice(method.arms)
    told = typer.Option(help="Show this preset's values as the defaults.")
    hints: dict[str, tuple[Any, Any]] = {
        "preset": (Annotated[presets, told], presets("paper")),
        "arm": (Annotated[arms, typer.Option(help=method.arms_help)], arms(WHOLE)),
        "form": (FormOption, Form.TEXT),
    }
    config.__signature__ = Signature(  # type: ignore[attr-defined]
        [
            Parameter(name, Parameter.KEYWORD_ONLY, default=value, annotation=hint)
            for name, (hint, value) in hints.items()
        ]
    )
    config.__annotations__ = {name: hint for name, (hint, _) in hints.items()}
    return config


def backbone(
    size: Annotated[Size, typer.Option(help="Show this size's values as the defaults.")] = Size.TINY,
    task: Annotated[Task, typer.Option(help="Show this task's values as the defaults.")] = Task.RANKING,
    form: FormOption = Form.TEXT,
) -> None:
    """List every setting of `reckon backbone new`."""
    from reckon.small_backbone.pretrain import PretrainConfig, pretrain_config

    show(PretrainConfig, pretrain_config(size.value, task.value), form)


def compare(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Which; all names if left out.")] = None,
) -> None:
    """Print a file for `reckon compare --config` to start from; `--config NAME` takes it as it is."""
    from reckon.comparison.shipped import shipped_file, shipped_names

    if name is not None:
        typer.echo(shipped_file(name, "NAME").read_text(encoding="utf-8"), nl=False)
        return
    for known, about in shipped_names().items():
        typer.echo(f"{known:<15}{about}")


def serve(form: FormOption = Form.TEXT) -> None:
    """List every setting of `reckon serve`."""
    from reckon.serving.config import ServiceConfig

    show(ServiceConfig, ServiceConfig(), form)


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


app = make_app()
