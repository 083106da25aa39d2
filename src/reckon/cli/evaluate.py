"""`reckon evaluate RUN`: rank the whole catalog for every row of a split."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reckon.cli.options import RunDir


class Split(StrEnum):
    VALID = "valid"
    TEST = "test"


def evaluate(
    run: RunDir,
    split: Annotated[Split, typer.Option(help="Rows to evaluate on.")] = Split.TEST,
    k: Annotated[
        list[int] | None, typer.Option("--k", "-k", min=1, help="Cut-off; may be repeated. Default: 5, 10 and 20.")
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
        Path | None, typer.Option(metavar="DIR", help="Where to write metrics.json; default: RUN/evaluation.")
    ] = None,
) -> None:
    """Hit, NDCG, MRR and coverage with 95 % intervals, beside popularity and the run without its reasoning."""
    from reckon.evaluation import evaluate_run

    evaluation = evaluate_run(
        run,
        split=split.value,
        ks=tuple(k or (5, 10, 20)),
        batch_size=batch_size,
        out=out,
        beside=beside or [],
        data=data,
    )
    console = Console()
    for table in evaluation.tables():
        console.print(table.to_rich())
