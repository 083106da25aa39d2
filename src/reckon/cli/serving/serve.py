"""`reckon serve RUN`: the HTTP service of a run."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import NoVerify, RunDir
from reckon.errors import ConfigError, MissingExtraError

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="What the service remembers: a SQLite file, or postgresql://…; made if absent. Default: RUN.sqlite.",
    ),
]


def serve(
    run: RunDir,
    store: StoreOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on. Beyond this machine a key is needed.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    beside: Annotated[
        list[Path] | None,
        typer.Option(metavar="RUN", help="A second run, for A/B: users are split between them. May be repeated."),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings, as YAML.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one setting, e.g. recommend.k=20; may be repeated. `reckon config serve` lists them all.",
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data set, where it has moved since training.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log warnings alone, and not every request.")] = False,
    no_verify: NoVerify = False,
) -> None:
    """Answer requests over HTTP: ranked items, why, events, new items, and pages to look at."""
    from reckon.config import load_config

    try:
        from reckon.serving.config import ServiceConfig
        from reckon.serving.logs import log_to_stderr
        from reckon.serving.serve import serve as run_service
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "`reckon serve`") from None
    settings = load_config(ServiceConfig, config, overrides or ())
    log_to_stderr(logging.WARNING if quiet else logging.INFO)
    runs = _named([run, *(beside or [])])
    shown = f"[{host}]" if ":" in host else host
    run_service(
        runs,
        store or default_store(run),
        settings,
        host=host,
        port=port,
        data=data,
        on_listening=lambda: typer.echo(f"http://{shown}:{port}  (Ctrl-C ends it; /docs describes the API)", err=True),
    )


def default_store(run: Path) -> str:
    """The store beside a run."""
    run = run.resolve()
    return str(run.parent / f"{run.name}.sqlite")


def _named(runs: list[Path]) -> list[tuple[str, Path]]:
    """Runs by the names of their folders."""
    names = [path.resolve().name for path in runs]
    if len(set(names)) != len(names):
        raise ConfigError("--beside", names, "two runs have folders of the same name", "rename one of them")
    return list(zip(names, runs, strict=True))
