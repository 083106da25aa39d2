"""Failures of SQLAlchemy and the drivers in the words of a `StoreError`.

Entry point: `in_plain_words`. Messages never quote what a driver says of an address or of a statement's values.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection

from reckon.errors import READ_ONLY, SPACE
from reckon.serving.store.database.column_types import Unstorable
from reckon.serving.store.errors import StoreError, ValueRefused

Words = tuple[str, str]
HELD = ("another process holds it", "try again; end the other process if it hangs")
RIGHTS = ("the rights to do this are missing", "grant them to the user, or name another user")
BUG = "report this message to the authors of Reckon"

# By the beginning of SQLite's own names of its errors.
SQLITE: dict[str, Words] = {
    "SQLITE_FULL": SPACE,
    "SQLITE_READONLY": READ_ONLY,
    "SQLITE_BUSY": HELD,
    "SQLITE_LOCKED": HELD,
    "SQLITE_CANTOPEN": ("cannot be opened", "check the path and the rights of its folder"),
    "SQLITE_NOTADB": ("is no SQLite database", "name another file, or one that does not exist yet"),
    "SQLITE_CORRUPT": ("is damaged", "restore a dump into a new store"),
    "SQLITE_IOERR": ("the disk reports an error, or is full", "check the disk"),
    "SQLITE_PERM": RIGHTS,
    "SQLITE_AUTH": RIGHTS,
}
# By the beginning of PostgreSQL's codes (SQLSTATE).
POSTGRES: dict[str, Words] = {
    "28": ("the server refuses user or password", "check both, and the file pg_hba.conf of the server"),
    "3D000": ("the server has no such database", "make it with createdb, or name another"),
    "42501": RIGHTS,
    "25006": ("the server is read-only", "name the primary server"),
    "53100": SPACE,
    "53300": ("the server has no connection left", "raise its max_connections, or end other clients"),
    "53": ("the server is short of memory or other resources", "free some, and try again"),
    "55P03": HELD,
    "40": ("other transactions were in the way", "try again"),
    "57": ("the server is stopping or starting", "try again when it runs"),
    "58": ("the server's disk reports an error", "check the disk of the server"),
    "XX": ("the server reports damaged data", "check the log of the server"),
}
# A server that refuses a connection hands on words alone, without a code: in English, unless it was set up otherwise.
CONNECTING: dict[str, str] = {
    "authentication failed": "28",
    "no password supplied": "28",
    "pg_hba.conf": "28",
    'role "': "28",
    'database "': "3D000",
    "too many clients": "53300",
    "connection slots": "53300",
    "starting up": "57",
    "shutting down": "57",
}
GONE = ("the server cannot be reached, or ended the connection", "check the address, and that the server runs")
TRANSIENT = ("40001", "40P01")  # serialization failure, deadlock: the same transaction may succeed when repeated


@contextmanager
def in_plain_words(where: str) -> Iterator[None]:
    """Raise a `StoreError` for whatever the database or its driver raises in a block.

    Args:
        where: the name of the store, without a password.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, Unstorable, OverflowError) as error:
        raise _translated(error, where) from error
    except Exception as error:
        if not _is_of_psycopg(error):
            raise
        raise _translated(error, where) from error


def is_transient(error: SQLAlchemyError) -> bool:
    """Whether a transaction failed only because of others at the same time."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in TRANSIENT


def _translated(error: Exception, where: str) -> StoreError:
    if isinstance(error, NoConnection):
        return StoreError(where, "all connections are in use", "try again, or send fewer requests at a time")
    cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    if isinstance(cause, sqlite3.Error):
        words = _by_prefix(SQLITE, getattr(cause, "sqlite_errorname", ""))
        if words is None and isinstance(cause, sqlite3.DataError):
            return _refused(where, cause)
    elif _is_of_psycopg(cause):
        state = getattr(cause, "sqlstate", None) or ""
        if state.startswith(("22", "54")):
            return _refused(where, cause)
        if not state:
            state = next((code for words, code in CONNECTING.items() if words in str(cause)), "")
        # Without a code or such words the server has said nothing: it is not there, or no longer.
        words = GONE if not state or state.startswith("08") else _by_prefix(POSTGRES, state)
    elif isinstance(cause, (Unstorable, OverflowError)):
        return _refused(where, cause)
    else:
        words = None
    return StoreError(where, *(words or (f"unexpected: {type(cause).__name__}, {_first_line(cause)}", BUG)))


def _refused(where: str, cause: BaseException) -> ValueRefused:
    return ValueRefused(where, f"a value cannot be stored ({_first_line(cause)})", "correct the value")


def _first_line(cause: BaseException) -> str:
    return str(cause).strip().partition("\n")[0].rstrip(".")


def _by_prefix(table: dict[str, Words], code: str) -> Words | None:
    return next((words for start, words in table.items() if code.startswith(start)), None)


def _is_of_psycopg(error: BaseException) -> bool:
    return any(kind.__module__.partition(".")[0] == "psycopg" for kind in type(error).__mro__)
