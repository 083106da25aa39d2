"""`reckon train METHOD`: from a data set and a backbone to a run directory.

Entry point: `app`, with a command for each method of the registry. A command has the options of every method, then
those that only its method asks (`Method.options`).
"""

from collections.abc import Callable, Iterator
from enum import Enum
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reckon.cli.options import DataDir, NoVerify, OutDir, Overrides, choice
from reckon.cli.traces import BaseURL, Kind, MaxTokens, ModelName, ReplyFile, make_teacher
from reckon.methods.method import WHOLE, Method, Option, imported
from reckon.methods.registry import METHODS

if TYPE_CHECKING:
    from reckon.teachers.teacher import Teacher

PRESET_HELP = {
    "paper": "the published method",
    "as_released": "the authors' code",
    "small": "two CPU cores, with the compact prompts that backbones of `reckon backbone new` read",
    "quick": "small, for a first result in minutes on a shop of some hundred items",
    "laptop": "some minutes on two CPU cores with an open model of about 135 M parameters, such as smollm2",
}
BACKBONE_HELP = "Hugging Face causal LM: a folder or a hub id."
# The next step after a training whose best validation was the first.
AGAIN = "train again with another preset or learning rate; an evaluation now measures the start."
CONFIG_HELP = "YAML file over the preset; --set wins over it."
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help=CONFIG_HELP)]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on from the last checkpoint, bit for bit, with the settings of the run."),
]
RunSeed = Annotated[int | None, typer.Option(min=0, help="Seed of everything random; overrides the config's.")]


def make_app() -> typer.Typer:
    """A command for each method that the registry has now."""
    commands = typer.Typer(no_args_is_help=True)

    @commands.callback()
    def _group() -> None:
        """Train a recommender."""

    for method in METHODS.values():
        epilog = "\n\n".join(f"Example: reckon train {method.name} {rest}" for rest in method.examples)
        commands.command(method.name, help=method.summary, epilog=epilog)(_command(method))
    return commands


def _command(method: Method) -> Callable[..., None]:
    """What typer reads the options of `reckon train METHOD` from, and calls with their values."""

    def train(**given: Any) -> None:
        from reckon.methods.train import train_run
        from reckon.runs.read import outcome_of

        del given["no_verify"]  # its callback has done it
        if method.reply_end is not None:
            given["teacher"] = _teacher(method.reply_end, given)
        given = {name: value.value if isinstance(value, Enum) else value for name, value in given.items()}
        train_run(method.name, **given | {"overrides": given["overrides"] or []})
        out, outcome = given["out"], outcome_of(given["out"])
        step = f"reckon evaluate {out}" if outcome.improved else AGAIN
        typer.echo(f"{outcome.words} Wrote {out}. Next: {step}")

    parameters = list(_parameters(method))
    train.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    train.__annotations__ = {one.name: one.annotation for one in parameters}
    return train


def _parameters(method: Method) -> Iterator[Parameter]:
    """The options of a command, in the order of its help."""
    yield _parameter("data", DataDir)
    backbone = typer.Option("--backbone", metavar="PATH_OR_ID", help=BACKBONE_HELP)
    if method.continues:
        yield _parameter("backbone", Annotated[str | None, backbone], None)
    else:
        yield _parameter("backbone", Annotated[str, backbone])
    yield _parameter("out", OutDir)
    for option in method.options:
        yield _of_option(option)
    yield _parameter("config_file", ConfigFile, None)
    for name, words, usual, text in (
        ("preset", method.presets, "paper", "; ".join(f"{one}: {PRESET_HELP[one]}" for one in method.presets) + "."),
        ("arm", method.arms, WHOLE, method.arms_help),
    ):
        kind = choice(words)
        if method.continues:
            told = typer.Option(f"--{name}", help=f"{text} Default: {usual}, or that of --start.")
            yield _parameter(name, Annotated[kind | None, told], None)
        else:
            yield _parameter(name, Annotated[kind, typer.Option(f"--{name}", help=text)], kind(usual))
    yield _parameter("overrides", Overrides, None)
    yield _parameter("no_verify", NoVerify, False)
    yield _parameter("resume", Resume, False)
    yield _parameter("seed", RunSeed, None)
    if method.reply_end is not None:
        yield _parameter("teacher", Annotated[Kind | None, typer.Option(help=method.teacher_help)], None)
        yield _parameter("model", ModelName, None)
        yield _parameter("base_url", BaseURL, None)
        yield _parameter("file", ReplyFile, None)
        yield _parameter("max_tokens", MaxTokens, 1024)


def _of_option(option: Option) -> Parameter:
    kind: Any = choice(option.choices) if option.choices else option.kind
    told = typer.Option(option.flag, metavar=option.metavar, help=option.help, min=option.least)
    if option.required:
        return _parameter(option.name, Annotated[kind, told])
    if option.default is None:
        return _parameter(option.name, Annotated[kind | None, told], None)
    return _parameter(option.name, Annotated[kind, told], kind(option.default))


def _parameter(name: str, annotation: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _teacher(reply_end: str, given: dict[str, Any]) -> "Teacher | None":
    """The teacher of the options about it, which it takes out of `given`; None where there is none."""
    kind = given.pop("teacher")
    model, base_url, file, max_tokens = (given.pop(name) for name in ("model", "base_url", "file", "max_tokens"))
    if kind is None:
        return None
    return make_teacher(kind, model, base_url, file, max_tokens, reply_end=imported(reply_end))


app = make_app()
