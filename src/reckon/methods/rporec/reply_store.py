"""A key-value store of replies in an SQLite file; each key is written once.

Entry point: `ReplyStore`. Stage I of RPORec stores one reply per training row, `reckon reason` one per user, with the
user vector. A batch is one transaction, so a kill leaves whole batches; `missing` returns the keys that are left.
Existing keys are never overwritten. Several processes may write to one file.

The file holds the identity of its replies (model, data, settings); another identity is refused.
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
PATIENCE = 60.0  # seconds to wait for another process's write
KEYS_AT_ONCE = 500  # keys per query; SQLite allows at least 999 parameters
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
    """A reply about one history."""

    text: str
    tokens: int
    """Sampled tokens, the end-of-turn token included; 0 if unknown."""
    truncated: bool
    """True where the token budget ran out."""

    @property
    def parsed(self) -> ParsedReply:
        """Its parts."""
        return parse_reply(self.text)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """One entry of the store."""

    key: str
    reply: Reply
    vector: FloatArray | None = None
    """[D] float32, the Rechead's user vector; None if only the text is stored."""
    seen: tuple[str, ...] | None = None
    """Item ids of the history that the reply is about."""


class ReplyStore:
    """The store. A context manager."""

    def __init__(self, path: str | Path, identity: Mapping[str, Any] | None) -> None:
        """Open a store, or create one.

        Args:
            path: the SQLite file.
            identity: identity of the replies, as flat JSON; None opens an existing store for reading.

        Raises:
            DataError: the file is not a store, is damaged, has another identity, or does not exist (identity None).
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
            self._refuse_other_databases()
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

    def _refuse_other_databases(self) -> None:
        """Refuse an SQLite file with other tables than those of a store."""
        tables = {name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables - {"about", "replies"}:  # a table may be missing while another writer creates them
            raise DataError(str(self.path), "is a database, but not a store of replies", "name another file")

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
        """Switch to write-ahead logging, so that readers are not blocked by a write. SQLite does not wait here for
        other processes that open the file, so this retries."""
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
        """Keys without a reply, in the given order."""
        with self._as_data_error():
            known = {
                key
                for some in _slices(keys)
                for (key,) in self._database.execute(f"SELECT key FROM replies WHERE key IN ({_marks(some)})", some)
            }
        return [key for key in keys if key not in known]

    def put(self, rows: Sequence[StoredReply]) -> None:
        """Write replies in one transaction; existing keys keep their replies."""
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
            # Not INSERT OR IGNORE, which would also drop rows that violate other constraints.
            command = "INSERT INTO replies VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"
            self._database.executemany(command, records)

    def get(self, key: str) -> StoredReply | None:
        """The entry of one key, by one index look-up; None for an unknown key."""
        with self._as_data_error():
            row = self._database.execute("SELECT * FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else _stored(row)

    def replies(self, keys: Sequence[str]) -> dict[str, Reply]:
        """Replies by key; keys without a reply are absent."""
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
        """All keys, sorted."""
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
