"""`reckon evaluate RUN`: rank the whole catalog, or predict the rating, for every row of a split."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reckon.cli.options import RunDir, refuse_option


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
    samples: Annotated[
        int | None,
        typer.Option(min=2, help="Ratings: show the mean of so many sampled replies beside the most likely one."),
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
) -> None:
    """Metrics with 95 % intervals beside baselines: Hit, NDCG, MRR and coverage, or MAE and RMSE for ratings."""
    from reckon.evaluation import evaluate_rating_run, evaluate_run
    from reckon.methods.finished import task_of

    if task_of(run) == "rating":
        refuse_option("--k", k, f"{run} predicts ratings, which have no cut-off")
        tables = evaluate_rating_run(
            run, split=split.value, samples=samples or 1, batch_size=batch_size, out=out, beside=beside or [], data=data
        ).tables()
    else:
        refuse_option("--samples", samples, f"{run} ranks items; only ratings have a mean")
        tables = evaluate_run(
            run,
            split=split.value,
            ks=tuple(k or (5, 10, 20)),
            batch_size=batch_size,
            out=out,
            beside=beside or [],
            data=data,
        ).tables()
    console = Console()
    for table in tables:
        console.print(table.to_rich())
