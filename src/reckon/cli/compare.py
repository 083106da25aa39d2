"""`reckon compare RUN RUN …`: finished runs of any methods side by side."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reckon.cli.evaluate import Split


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN ...", help="Run directories, made by `reckon train`.")],
    split: Annotated[Split, typer.Option(help="Rows to compare on.")] = Split.TEST,
    k: Annotated[
        list[int] | None,
        typer.Option("--k", "-k", min=1, help="Rankings: cut-off; may be repeated. Default: 5, 10 and 20."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data set, where it has moved since training.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts at a time.")] = 32,
) -> None:
    """Metrics of several runs with 95 % intervals, and paired differences of the last one from each of the others."""
    from reckon.evaluation.compare_runs import compare_runs

    console = Console()
    for table in compare_runs(runs, split=split.value, ks=tuple(k or (5, 10, 20)), batch_size=batch_size, data=data):
        console.print(table.to_rich())
