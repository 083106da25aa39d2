"""Connections to the database of a store, and its transactions.

Entry point: `Database`. The tables are known elsewhere; here is what SQLite and PostgreSQL need to be alike.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from reckon.errors import MissingExtraError
from reckon.serving.store.database.address import Address
from reckon.serving.store.database.column_types import from_json, to_json
from reckon.serving.store.database.failures import in_plain_words, is_transient

T = TypeVar("T")

PATIENCE = 10  # seconds that a transaction waits for a connection, or for a lock of another process
REACH = 5  # seconds that a server may take to accept a connection
SILENCE = 15  # seconds after which a server that acknowledges nothing is gone
CONNECTIONS = 10  # kept open; as many again for a peak
ATTEMPTS = 5  # at a transaction that others were in the way of
STREAMED = 1000  # rows of a snapshot in memory at a time
MOST_VALUES = 5000  # of one IN (…); SQLite takes 32,766 values a statement


class Database:
    """The database of a store. Thread-safe."""

    def __init__(self, address: Address) -> None:
        """Connects to nothing yet.

        Raises:
            MissingExtraError: PostgreSQL without psycopg.
        """
        self.address, self.name = address, address.name
        self.is_sqlite = address.path is not None
        self.engine = _engine(address)
        self.insert: Callable[[Table], sqlite.Insert | postgresql.Insert] = (
            sqlite.insert if self.is_sqlite else postgresql.insert
        )
        """Makes an INSERT that may say what to do on conflict."""
        # SQLite has one writer at a time. In this process writers queue here, because SQLite's own wait is not fair.
        self._one_writer = threading.Lock()
        self._writing = self.engine.execution_options(reckon_writes=True)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            event.listen(self.engine, "connect", _set_up_postgres)

    def close(self) -> None:
        """Close all connections that nobody uses."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            StoreError: the database refuses or is gone.
        """
        with in_plain_words(self.name), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that reads for long: everything as it is now, a few rows in memory at a time."""
        with self.reading() as connection:
            if not self.is_sqlite:  # whose transactions are snapshots anyway
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection.execution_options(yield_per=STREAMED)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do some work in one transaction, which is kept whole when this returns, and else not at all.

        Args:
            work: called again from the start where other transactions were in the way.

        Raises:
            StoreError: the database refuses or is gone.
        """
        with in_plain_words(self.name):
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._write_once(work)
                except SQLAlchemyError as error:
                    if not is_transient(error):
                        raise
            return self._write_once(work)

    def _write_once(self, work: Callable[[Connection], T]) -> T:
        if not self.is_sqlite:
            with self._writing.begin() as connection:
                return work(connection)
        with self._one_writer, self._writing.begin() as connection:
            return work(connection)


def _engine(address: Address) -> Engine:
    common: dict[str, Any] = {
        "json_serializer": to_json,
        "json_deserializer": from_json,
        "pool_size": CONNECTIONS,
        "max_overflow": CONNECTIONS,
        "pool_timeout": PATIENCE,
        "hide_parameters": True,  # texts of users stay out of messages
    }
    if address.path is not None:
        return create_engine(address.url, connect_args={"timeout": PATIENCE}, **common)
    arguments = {"application_name": "reckon", "connect_timeout": REACH, "tcp_user_timeout": 1000 * SILENCE}
    arguments = {name: value for name, value in arguments.items() if name not in address.url.query}
    try:
        return create_engine(address.url, connect_args=arguments, pool_pre_ping=True, **common)
    except ImportError:
        raise MissingExtraError("psycopg", "postgres", "a store in PostgreSQL") from None


def _set_up_sqlite(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy begins transactions, below
    connection.execute("PRAGMA synchronous = FULL")  # what is acknowledged outlives a loss of power
    connection.execute("PRAGMA secure_delete = ON")  # what is purged is overwritten


def _begin_sqlite(connection: Connection) -> None:
    # One that reads first and then finds another writer in its way would fail at once, so a writer begins as such.
    writes = connection.get_execution_options().get("reckon_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _set_up_postgres(connection: Any, record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{PATIENCE}s'")
    connection.commit()


def chunks(values: list[T], size: int = MOST_VALUES) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
