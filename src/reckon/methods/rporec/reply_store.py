"""Replies of a language model, kept in an SQLite file under keys of one's own: what was written is never written twice.

Entry point: `ReplyStore`. Stage I of RPORec keeps one reply per training row in it, `reckon reason` one per user, with
the user's vector. A batch is one transaction, so a kill leaves whole batches; whoever opens the file again asks for
what is `missing`. A key that is there already is never overwritten. Several processes may write one file.

The file says what its replies depend on (model, data, settings); another model is refused, not mixed in.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from reckon.data.examples import FloatArray
from reckon.errors import DataError
from reckon.prompts.rporec import ParsedReply, parse_reply

FORMAT = 1
PATIENCE = 60.0  # seconds that a writer waits for another process
KEYS_AT_ONCE = 500  # of one query; SQLite allows 999 parameters at least
SCHEMA = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    reply TEXT NOT NULL,
    tokens INTEGER NOT NULL,
    truncated INTEGER NOT NULL,
    vector BLOB,
    seen TEXT
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the language model wrote about one history."""

    text: str
    tokens: int
    """Sampled tokens, the end-of-turn token included; 0 where nobody counted."""
    truncated: bool
    """True where it ran out of budget."""

    @property
    def parsed(self) -> ParsedReply:
        """Its parts."""
        return parse_reply(self.text)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """One row of the store."""

    key: str
    reply: Reply
    vector: FloatArray | None = None
    """[D] float32, what it means for the Rechead; None where only the text is kept."""
    seen: tuple[str, ...] | None = None
    """Item ids of the history it was written about."""


class ReplyStore:
    """A key-value file of replies. Use it as a context manager."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any] | None) -> None:
        """Open a store, or begin one.

        Args:
            path: the SQLite file.
            identity: what the replies depend on, as flat JSON; None opens an existing store to read it.

        Raises:
            DataError: the file is no store, is damaged, belongs to another identity, or is not there to be read.
        """
        self.path = Path(path)
        if identity is None and not self.path.is_file():
            raise DataError(str(self.path), "does not exist", "make it with `reckon reason`")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        except sqlite3.Error as error:
            raise DataError(str(self.path), f"cannot be opened ({error})", "name another file") from None
        try:
            with self._as_data_error():
                self._begin(identity)
        except BaseException:
            self._database.close()
            raise

    def _begin(self, identity: Mapping[str, Any] | None) -> None:
        if identity is not None:
            self._refuse_strangers()
            self._write_ahead()
            self._database.executescript(SCHEMA)
            with self._transaction():
                about = {"format": FORMAT, **identity}
                rows = [(name, json.dumps(value)) for name, value in about.items()]
                if not self._database.execute("SELECT COUNT(*) FROM about").fetchone()[0]:
                    self._database.executemany("INSERT INTO about VALUES (?, ?)", rows)
        found = {name: json.loads(value) for name, value in self._database.execute("SELECT name, value FROM about")}
        if found.pop("format", None) != FORMAT:
            raise DataError(str(self.path), "has another format", "make it again with this version of Reckon")
        self.identity: dict[str, Any] = found
        self._refuse_other(identity)

    def _refuse_strangers(self) -> None:
        """An SQLite file of somebody else's must not get tables of ours."""
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables - {"about", "replies"}:  # one of ours may be missing while another writer makes them
            raise DataError(str(self.path), "is a database, but no store of replies", "name another file")

    def _refuse_other(self, identity: Mapping[str, Any] | None) -> None:
        for name, value in json.loads(json.dumps(dict(identity or {}))).items():
            if self.identity.get(name) != value:
                raise DataError(
                    str(self.path),
                    f"was begun with {name} = {self.identity.get(name)!r}, now it is {value!r}",
                    "repeat the command it was begun with, or name another file",
                )

    def __enter__(self) -> "ReplyStore":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def _write_ahead(self) -> None:
        """Let readers go on while a batch is written. SQLite does not wait for others that open the file just now."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._database.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def __len__(self) -> int:
        with self._as_data_error():
            return int(self._database.execute("SELECT COUNT(*) FROM replies").fetchone()[0])

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those keys that have no reply yet, in their order."""
        with self._as_data_error():
            known = {
                key
                for some in _slices(keys)
                for (key,) in self._database.execute(f"SELECT key FROM replies WHERE key IN ({_marks(some)})", some)
            }
        return [key for key in keys if key not in known]

    def put(self, rows: Sequence[StoredReply]) -> None:
        """Write some replies, all or none of them; a key that is there keeps its reply."""
        records = [
            (
                row.key,
                row.reply.text,
                row.reply.tokens,
                int(row.reply.truncated),
                None if row.vector is None else np.ascontiguousarray(row.vector, dtype="<f4").tobytes(),
                None if row.seen is None else json.dumps(row.seen),
            )
            for row in rows
        ]
        with self._as_data_error(), self._transaction():
            # Not INSERT OR IGNORE, which would drop a row that breaks any other rule of the table, too.
            command = "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
            self._database.executemany(command, records)

    def get(self, key: str) -> StoredReply | None:
        """The row of one key; None where there is none. One look-up in an index."""
        with self._as_data_error():
            row = self._database.execute("SELECT * FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else _stored(row)

    def replies(self, keys: Sequence[str]) -> dict[str, Reply]:
        """The replies of some keys; those that have none are absent."""
        columns = "key, reply, tokens, truncated"
        with self._as_data_error():
            return {
                key: Reply(text, tokens, bool(truncated))
                for some in _slices(keys)
                for key, text, tokens, truncated in self._database.execute(
                    f"SELECT {columns} FROM replies WHERE key IN ({_marks(some)})", some
                )
            }

    def __iter__(self) -> Iterator[str]:
        """Every key, sorted."""
        with self._as_data_error():
            return iter([key for (key,) in self._database.execute("SELECT key FROM replies ORDER BY key")])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _as_data_error(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(str(self.path), f"cannot be used as a store ({error})", "name another file") from None


def _stored(row: tuple[Any, ...]) -> StoredReply:
    key, text, tokens, truncated, vector, seen = row
    return StoredReply(
        key,
        Reply(text, tokens, bool(truncated)),
        None if vector is None else np.frombuffer(vector, dtype="<f4"),
        None if seen is None else tuple(json.loads(seen)),
    )


def _slices(keys: Sequence[str]) -> Iterator[list[str]]:
    return (list(keys[start : start + KEYS_AT_ONCE]) for start in range(0, len(keys), KEYS_AT_ONCE))


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))
