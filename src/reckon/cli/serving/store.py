"""`reckon store`: back up, restore, upgrade and purge what the service remembers."""

from pathlib import Path
from typing import Annotated

import typer

from reckon.messages import printable

app = typer.Typer(no_args_is_help=True)

URL = Annotated[
    str,
    typer.Argument(
        metavar="URL",
        help="A SQLite file, or postgresql://USER@HOST/DATABASE; the password may be in PGPASSWORD or ~/.pgpass.",
    ),
]


@app.callback()
def _group() -> None:
    """Back up, restore, upgrade and purge what `reckon serve` remembers."""


@app.command(epilog="Example: reckon store dump shop.sqlite shop.jsonl")
def dump(
    url: URL, file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, replaced if it exists.")]
) -> None:
    """Write everything to a file, as it is at one moment. The service may run meanwhile."""
    from reckon.serving.store.dump import dump as write
    from reckon.serving.store.store import Store

    with Store.open(url, create=False) as store:
        records = write(store, file)
        typer.echo(printable(f"Wrote {file}: {records:,} records of {store.name}"))


@app.command(
    epilog="Example: reckon store restore shop.jsonl new.sqlite\n\n"
    "Example: reckon store restore shop.jsonl postgresql://shop@127.0.0.1/shop"
)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `reckon store dump` wrote, of either database.")],
    url: URL,
) -> None:
    """Fill an empty store from a dump: with everything, or nothing."""
    from reckon.serving.store.dump import restore as read
    from reckon.serving.store.store import Store

    with Store.open(url) as store:
        records = read(file, store)
        typer.echo(printable(f"Restored {records:,} records into {store.name}"))


@app.command(epilog="Example: reckon store migrate shop.sqlite")
def migrate(url: URL) -> None:
    """Bring a store of an older Reckon to the version of this one. Stop the service, and dump, first."""
    from reckon.serving.store.store import migrate as bring

    before, now = bring(url)
    typer.echo(f"The store has version {now} already." if before == now else f"The store has version {now} now.")


@app.command(epilog="Example: reckon store purge shop.sqlite --user A3 --user A17")
def purge(
    url: URL, user: Annotated[list[str], typer.Option("--user", metavar="ID", help="Whom to forget; repeatable.")]
) -> None:
    """Delete users with their events, answers and reasoning."""
    from reckon.serving.store.store import Store

    with Store.open(url, create=False) as store:
        gone = store.users.delete(user)
    for one in user:
        typer.echo(printable(f"{one}: {'deleted' if one in gone else 'nothing is kept of this user'}"))
