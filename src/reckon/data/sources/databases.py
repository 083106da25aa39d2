"""Read a table of a SQLite file or a PostgreSQL server into the workspace, in batches.

Entry points: `is_database`, `copy_table`. All values travel as text, as from a CSV file, and are checked by the same
code. DuckDB's own scanners for both are extensions fetched from the network on first use, which Reckon never does;
so SQLite is read with Python's `sqlite3` and PostgreSQL with `psycopg` and a cursor on the server's side.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from reckon.data.prepare.workspace import Workspace, quoted
from reckon.data.sources.header import check_names
from reckon.errors import DataError, MissingExtraError
from reckon.messages import HIDDEN, listed
from reckon.progress import phase

SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
POSTGRES = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?:(?P<user>.*)@)?(?P<place>[^?]*)", re.IGNORECASE | re.DOTALL)
ADDRESS = re.compile(r"(?P<kind>[a-z][a-z0-9+.\-]+):/{1,3}", re.IGNORECASE)
BATCH = 50_000  # rows held as Python objects at a time

RowBatches = Iterator[list[tuple[Any, ...]]]


def is_database(location: str) -> bool:
    """Whether a location is a PostgreSQL address or a SQLite file."""
    if POSTGRES.match(location):
        return True
    address = ADDRESS.match(location)
    if address is not None and not Path(location).exists():
        raise DataError(
            f"{address['kind']}://…", "is no address that can be read", "give a file, or a postgresql:// address"
        )
    return Path(location).suffix.lower() in SQLITE_SUFFIXES


def public_name(location: str) -> str:
    """The location without user and password, fit for messages and the manifest."""
    address = POSTGRES.match(location)
    return Path(location).name if address is None else f"postgresql://{address['place']}"


def copy_table(workspace: Workspace, location: str, table: str, into: str) -> None:
    """Copy a table or view of a database into a workspace table of text columns.

    Args:
        location: a SQLite file, or `postgresql://user:password@host/database`.
        table: its name, `schema.table` for a schema of PostgreSQL.
        into: name of the new workspace table.

    Raises:
        DataError: the database or the table cannot be read.
        MissingExtraError: PostgreSQL without psycopg.
    """
    read = _postgres if POSTGRES.match(location) else _sqlite
    with read(location, table) as (names, batches):
        check_names(names, f"table {table}")
        columns = ", ".join(f"{quoted(name)} VARCHAR" for name in names)
        workspace.run(f"CREATE TABLE {into} ({columns})", doing=f"reading {table}")
        schema = pa.schema([(name, pa.string()) for name in names])
        with phase(f"reading {table}"):
            for rows in batches:
                columns_of_text = [list(column) for column in zip(*rows, strict=True)]
                batch = pa.table([pa.array(column, pa.string()) for column in columns_of_text], schema=schema)
                workspace.db.register("batch", batch)
                workspace.db.execute(f"INSERT INTO {into} SELECT * FROM batch")
                workspace.db.unregister("batch")


@contextmanager
def _sqlite(location: str, table: str) -> Iterator[tuple[list[str], RowBatches]]:
    if not Path(location).is_file():
        raise DataError(location, "does not exist", "check the path")
    where = f"{location}, table {table}"
    try:
        # Read-only: a wrong path must not make an empty database, and nobody else's writes are held up.
        connection = sqlite3.connect(f"{Path(location).absolute().as_uri()}?mode=ro", uri=True)
        try:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
            if not names:
                tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type <> 'index'")]
                raise DataError(where, "does not exist", f"the database has {listed(tables) or 'no tables'}")
            values = ", ".join(f"CAST({quoted(name)} AS TEXT)" for name in names)
            cursor = connection.execute(f"SELECT {values} FROM {quoted(table)}")
            yield names, _batches(lambda: cursor.fetchmany(BATCH))
        finally:
            connection.close()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DataError(where, f"cannot be read ({error})", "check that it is a sound SQLite file") from None


@contextmanager
def _postgres(location: str, table: str) -> Iterator[tuple[list[str], RowBatches]]:
    try:
        import psycopg
        from psycopg import sql
    except ImportError:
        raise MissingExtraError("psycopg", "postgres", "reading from PostgreSQL") from None
    where = f"{public_name(location)}, table {table}"
    location = f"postgresql://{location.partition('://')[2]}"  # of any case, and without the driver of SQLAlchemy
    name = sql.Identifier(*table.split("."))
    try:
        with psycopg.connect(location, connect_timeout=10) as connection:
            connection.read_only = True
            connection.execute("SET TIME ZONE 'UTC'")  # times with a zone come as text in the session's zone
            connection.execute("SET DateStyle = 'ISO'")
            described = connection.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name)).description or []
            names = [column.name for column in described]
            values = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(column)) for column in names)
            with connection.cursor(name="reckon") as cursor:  # a named cursor stays on the server
                cursor.execute(sql.SQL("SELECT {} FROM {}").format(values, name))
                yield names, _batches(lambda: cursor.fetchmany(BATCH))
    except psycopg.Error as error:
        fix = "check the address (blanks and signs of a password as %20, %40, …), the table's name and your rights"
        raise DataError(where, f"cannot be read ({_without_secret(str(error).strip(), location)})", fix) from None


def _without_secret(message: str, location: str) -> str:
    """A message without the parts of the address that it quotes: where a password breaks the address, of that too."""
    return re.sub(r'(["\'])(.+?)\1', lambda found: f'"{HIDDEN}"' if found[2] in location else found[0], message)


def _batches(fetch: Callable[[], list[tuple[Any, ...]]]) -> RowBatches:
    while rows := fetch():
        yield rows
