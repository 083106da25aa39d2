"""`reckon compare`: finished runs side by side, or methods of a config trained and compared under one protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.evaluate import KS, Split, print_tables
from reckon.cli.options import NoVerify, refuse_option
from reckon.errors import ConfigError


def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN RUN ...]", help="Run directories, made by `reckon train`; none with --config."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The data set; of runs, where it has moved since training."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE|NAME",
            help="YAML file: methods, seeds, protocol, budget of tuning; or a name of `reckon config compare`.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="With --config: where cells, tables and report go. Default: compare-NAME."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --config: cells at once, each in a process of one thread.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N|LIST",
            help="With --config: how many training seeds, or which (0,1,2). Fewer than three are a trial, and tables "
            "say so.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="With --config: change one field, e.g. tuning.trials=8."),
    ] = None,
    split: Annotated[Split | None, typer.Option(help="Of runs: rows to compare on. Default: test.")] = None,
    k: Annotated[
        list[int] | None,
        typer.Option("--k", "-k", min=1, help="Of runs that rank: cut-off; may be repeated. Default: 5, 10 and 20."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Of runs: prompts at a time. Default: 32.")] = None,
    no_verify: NoVerify = False,
) -> None:
    """Methods side by side: metrics with 95 % intervals, and paired differences.

    With RUNs: those, as they are, and the last against each of the others. With --data and --config: train every
    method of the file over its seeds, then rank the same rows with all of them, or predict the same ratings, under one
    protocol and one budget of tuning. What is finished is never trained again, so the same command goes on after an
    interruption.
    """
    if config is None:
        _refuse(
            {"--out": out, "--workers": workers, "--seeds": seeds, "--set": changes or None}, "is for --config alone"
        )
        if not runs:
            fix = "name runs, or a comparison to train: --data DIR --config NAME; `reckon config compare` lists some"
            raise ConfigError("--config", None, "there are neither finished runs nor a config", fix)
        _compare_runs(runs, split or Split.TEST, tuple(k or KS), batch_size or 32, data)
        return
    of_runs = {
        "RUN": runs or None,
        "--split": split,
        "--k": k or None,
        "--batch-size": batch_size,
        "--no-verify": no_verify,
    }
    _refuse(of_runs, "is for finished runs, and --config names what is trained")
    if data is None:
        raise ConfigError("--data", None, "--config trains, so it needs a data set", "name a directory")
    more = [*(changes or []), *([f"workers={workers}"] if workers is not None else []), *_seeds(seeds)]
    _compare_methods(data, config, out or Path(f"compare-{config.stem.removeprefix('compare-')}"), more)


def _seeds(text: str | None) -> list[str]:
    """Changes of the config for `--seeds`: so many from 0, or those of a list; few are allowed, since they were asked
    for."""
    if text is None:
        return []
    from reckon.comparison.config import LEAST_SEEDS

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or text.strip() == "0":
        raise ConfigError("--seeds", text, "must be a number from 1, or a list", "use 3, or 0,1,2")
    chosen = list(range(int(text))) if len(parts) == 1 else [int(part) for part in parts]
    return [f"seeds={chosen}", f"allow_few_seeds={str(len(chosen) < LEAST_SEEDS).lower()}"]


def _refuse(given: Mapping[str, object], why: str) -> None:
    for name, value in given.items():
        refuse_option(name, value, why)


def _compare_runs(runs: list[Path], split: Split, ks: tuple[int, ...], batch_size: int, data: Path | None) -> None:
    from reckon.evaluation.compare import compare_runs
    from reckon.reports.write import tables_of

    evaluation = compare_runs(runs, split=split.value, ks=ks, batch_size=batch_size, data=data)
    print_tables(tables_of(evaluation))


def _compare_methods(data: Path, config: Path, out: Path, overrides: list[str]) -> None:
    from reckon.comparison.config import load_comparison
    from reckon.comparison.harness import run_comparison
    from reckon.locks import folder_lock
    from reckon.reports.comparison.report import write_comparison

    with folder_lock(out):
        tables = write_comparison(run_comparison(data, load_comparison(config, overrides), out), out)
    print_tables(tables.values())
    typer.echo(f"Wrote {out}. Open {out / 'report.html'}")
