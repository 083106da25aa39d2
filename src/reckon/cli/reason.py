"""`reckon reason RUN --out STORE`: reasoning of every user, written before anybody asks."""

from pathlib import Path
from typing import Annotated

import typer

from reckon.cli.options import NoVerify, RunDir
from reckon.errors import ConfigError


def reason(
    run: RunDir,
    out: Annotated[Path, typer.Option("--out", metavar="STORE", help="The SQLite file to fill; made if absent.")],
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="The data set, where it has moved since training.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Users at a time; what a kill loses at most.")] = 64,
    part: Annotated[
        str,
        typer.Option(metavar="I/N", help="Every N-th user, beginning with the I-th: N processes may fill one store."),
    ] = "1/1",
    no_verify: NoVerify = False,
) -> None:
    """Write reasoning, answer and user vector of all users of an RPORec run; repeat it to go on after a stop."""
    from reckon.methods.rporec.nearline import reason_all
    from reckon.progress import phase

    with phase("reasoning") as reasoning:

        def on_batch(rows: int, total: int) -> None:
            reasoning.total = total
            reasoning.advance(rows)

        done = reason_all(run, out, data=data, batch_size=batch_size, part=_part(part), on_batch=on_batch)
    typer.echo(
        f"{out} holds {done.users:,} users, {done.written:,} of them new. "
        f"Next: reckon recommend {run} --nearline {out} --user ID"
    )


def _part(text: str) -> tuple[int, int]:
    first, slash, step = text.partition("/")
    if not (slash and first.isdecimal() and step.isdecimal()):
        raise ConfigError("--part", text, "must have the form i/n", "use 1/2 and 2/2 for two processes")
    return int(first), int(step)
