"""The store of the service: everything that it remembers.

Entry points: `Store.open`; `migrate` brings an older store to this version. `reckon.serving.store` documents the calls.
"""

import sqlite3
import time
from contextlib import closing
from types import TracebackType
from typing import Self

from reckon.errors import MissingExtraError

try:
    import alembic  # noqa: F401
    import sqlalchemy
except ImportError as absent:
    raise MissingExtraError(absent.name or "sqlalchemy", "serve", "the store of the service") from None

from reckon.serving.store import migrations
from reckon.serving.store.answers import Answers
from reckon.serving.store.database.address import Address
from reckon.serving.store.database.failures import in_plain_words
from reckon.serving.store.database.transactions import PATIENCE, Database
from reckon.serving.store.entities import Items, Users
from reckon.serving.store.errors import StoreError
from reckon.serving.store.events import Events
from reckon.serving.store.keys import Facts, Keys
from reckon.serving.store.nearline import Nearline
from reckon.serving.store.tables import FACTS


class Store:
    """Items, users, events, answers, written reasoning, keys and facts. Thread-safe; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        """For `open`; the tables must be those of this version."""
        self.database, self.name = database, database.name
        self.items, self.users, self.events = Items(database), Users(database), Events(database)
        self.answers, self.nearline = Answers(database), Nearline(database)
        self.keys, self.facts = Keys(database), Facts(database)

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open a store.

        Args:
            url: a path or `sqlite:///path` for SQLite, `postgresql://user:password@host/database` for PostgreSQL.
            create: make the tables in a database, and the file of SQLite, where there is no store yet.

        Raises:
            StoreError: the address is none, the database cannot be opened or is somebody else's, the store has another
                version, or there is none.
            MissingExtraError: PostgreSQL without psycopg.
        """
        database = _database(url, create)
        try:
            _check(database, create)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def check(self) -> None:
        """Read something.

        Raises:
            StoreError: the store cannot be read now.
        """
        with self.database.reading() as connection:
            connection.execute(sqlalchemy.select(FACTS.c.name).limit(1))

    def close(self) -> None:
        """Close its connections."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def migrate(url: str) -> tuple[str | None, str]:
    """Bring a store to the version of this Reckon; an empty database becomes a store.

    Returns:
        The version before, None where there was none, and the version now.

    Raises:
        StoreError: as of `Store.open`; a newer store stays as it is.
    """
    database = _database(url, create=True)
    try:
        before = _state(database)
        if before.kind == "older":
            database.write(migrations.migrate)
        _check(database, create=True)
        return before.version, migrations.newest()
    finally:
        database.close()


def _database(url: str, create: bool) -> Database:
    address = Address.parse(url)
    if address.path is not None and not create and not address.path.exists():
        raise StoreError(address.name, "does not exist", "check the path")
    return Database(address)


def _state(database: Database) -> migrations.State:
    with database.reading() as connection:
        return migrations.state_of(connection)


def _check(database: Database, create: bool) -> None:
    """See that the database holds a store of this version; make one in an empty database."""
    state = _state(database)
    if state.kind == "empty" and create:
        _keep_a_log_of_writes(database)
        database.write(migrations.migrate)
        state = _state(database)
    name, newest = database.name, migrations.newest()
    if state.kind == "empty":
        raise StoreError(name, "holds no store", "check the address")
    if state.kind == "foreign":
        raise StoreError(name, "holds tables that are not those of a store", "name another file or database")
    if state.kind == "older":
        problem = f"the store has version {state.version}, and this Reckon needs {newest}"
        raise StoreError(name, problem, f"run `reckon store migrate {name if database.is_sqlite else 'URL'}`")
    if state.kind == "newer":
        problem = f"the store has version {state.version}, newer than this Reckon's {newest}"
        raise StoreError(name, problem, "upgrade Reckon")


def _keep_a_log_of_writes(database: Database) -> None:
    """SQLite's WAL mode, in which readers and the writer do not wait for each other. The file remembers it."""
    if not database.is_sqlite:
        return
    end = time.monotonic() + PATIENCE
    with in_plain_words(database.name), closing(database.engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:  # of this change SQLite does not wait for its turn by itself
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
            time.sleep(0.05)
