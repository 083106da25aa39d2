"""`reckon keys`: who may ask the service, and what.

Entry point: `app`.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from reckon.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from reckon.serving.store.store import Store

app = typer.Typer(no_args_is_help=True)
StoreUrl = Annotated[str, typer.Option("--store", metavar="URL", help="The store of the service.")]


class KeyScope(StrEnum):
    """What a key may do."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@app.command("new", epilog="Example: reckon keys new shop --scope write --store runs/shop.sqlite")
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is; shown in the log.")],
    store: StoreUrl,
    scope: Annotated[
        KeyScope,
        typer.Option(help="read: ask and look; write: items, users and events, too; admin: exchange runs, too."),
    ] = KeyScope.READ,
) -> None:
    """Make a key and print it. It is shown once; the store has its hash alone."""
    from reckon.serving.http.auth import new_key

    with _opened(store) as opened:
        secret, key = new_key(name, scope.value)
        opened.keys.add(key)
    typer.echo(secret)


@app.command("list", epilog="Example: reckon keys list --store runs/shop.sqlite")
def listed(store: StoreUrl) -> None:
    """List the keys, without their secrets."""
    with _opened(store) as opened:
        for key in opened.keys.all():
            typer.echo(f"{key.name}  {key.scope}  {key.created:%Y-%m-%d}")


@app.command("remove", epilog="Example: reckon keys remove shop --store runs/shop.sqlite")
def remove(
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    store: StoreUrl,
) -> None:
    """Remove a key; it is refused from the next seconds on."""
    with _opened(store) as opened:
        if not opened.keys.remove(name):
            raise ConfigError("NAME", name, "is no key of this store", "see `reckon keys list`")


def _opened(store: str) -> "Store":
    try:
        from reckon.serving.store.store import Store
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "sqlalchemy", "serve", "`reckon keys`") from None
    return Store.open(store)
