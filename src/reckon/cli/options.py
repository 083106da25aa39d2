"""Options that several commands share, so that one name means one thing everywhere."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from reckon.errors import ConfigError

DataDir = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Data set directory, made by `reckon data prepare`.")
]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, made by `reckon train`.")]
OutDir = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write; made if absent.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]


def _skip_checks(context: typer.Context, wanted: bool) -> None:
    """Leave checksums out until the command ends."""
    from reckon.checksums import checking

    if wanted:
        context.with_resource(checking(False))


NoVerify = Annotated[
    bool,
    typer.Option(
        "--no-verify",
        callback=_skip_checks,
        help="Read runs, backbones and data as they are, though their checksums say that a file was changed.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, e.g. training.max_steps=50; may be repeated. `reckon config METHOD` lists them all.",
    ),
]
TopK = Annotated[
    int | None, typer.Option("--k", "-k", min=1, help="Rankings: how many items to recommend. Default: 10.")
]


def choice(values: Iterable[str]) -> Any:
    """The type of an option that takes one of some words."""
    make: Any = StrEnum
    return make("Choice", {value.upper().replace("-", "_"): value for value in values})


def refuse_option(name: str, value: object, why: str) -> None:
    """Refuse an option that means nothing for this run, if it was given."""
    if value not in (None, False):
        raise ConfigError(name, value, why, f"leave {name} out")
