"""`reckon evaluate RUN`: rank the whole catalog, or predict the rating, for every row of a split."""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from reckon.cli.options import NoVerify, RunDir, refuse_option

if TYPE_CHECKING:
    from reckon.reports.grid import Grid

KS = (5, 10, 20)


class Split(StrEnum):
    VALID = "valid"
    TEST = "test"


def evaluate(
    run: RunDir,
    split: Annotated[Split, typer.Option(help="Rows to evaluate on.")] = Split.TEST,
    k: Annotated[
        list[int] | None,
        typer.Option("--k", "-k", min=1, help="Rankings: cut-off; may be repeated. Default: 5, 10 and 20."),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="Rankings: a fixed random sample of so many rows, to save time. Default: all rows."),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="Show the mean of so many sampled replies beside the most likely one."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option("--beside", metavar="RUN", help="Another finished run on the same data; may be repeated."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data set, where it has moved since training.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 32,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to write metrics.json and report.html; default: RUN/evaluation."),
    ] = None,
    no_verify: NoVerify = False,
) -> None:
    """Metrics with 95 % intervals beside baselines: Hit, NDCG, MRR and coverage, or MAE and RMSE for ratings."""
    from reckon.evaluation.run import evaluate as evaluate_run
    from reckon.locks import folder_lock
    from reckon.methods.finished import task_of
    from reckon.reports.write import folder_of, tables_of, write_evaluation

    if task_of(run) == "rating":
        refuse_option("--k", k, f"{run} predicts ratings, which have no cut-off")
        refuse_option("--rows", rows, f"{run} predicts ratings; they are evaluated on all rows")
    folder = folder_of(run, split.value) if out is None else out
    with folder_lock(folder):
        evaluation = evaluate_run(
            run,
            split=split.value,
            ks=tuple(k or KS),
            most_rows=rows,
            samples=samples or 1,
            batch_size=batch_size,
            beside=beside or [],
            data=data,
        )
        page = write_evaluation(evaluation, folder)
    print_tables(tables_of(evaluation))
    typer.echo(f"Open {page}")


def print_tables(tables: "Iterable[Grid]") -> None:
    """One table after the other."""
    console = Console()
    for table in tables:
        console.print(table.to_rich())
