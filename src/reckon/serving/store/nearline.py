"""Reasoning written in advance, and the queue of users who wait for it.

Entry point: `Nearline`; `mark_changed` and `mark_changed_after` for events, in their transaction.

A user with events has a counter of changes, which only grows. Reasoning remembers the number that it knows of and is
stale below the present one. So an event makes it stale by itself, and none is lost between reading a history and
storing what was written of it.
"""

import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, func, literal, select

from reckon.serving.store.database.transactions import Database
from reckon.serving.store.records import Waiting, WrittenReasoning
from reckon.serving.store.tables import CHANGES, EVENTS, REASONING

KEY = ("user_id", "model")


class Nearline:
    """The written reasoning of a store and its queue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def waiting(self, limit: int) -> list[Waiting]:
        """Users on the queue, longest waiting first. They stay on it until `done`."""
        query = select(CHANGES).where(CHANGES.c.since.is_not(None)).order_by(CHANGES.c.since, CHANGES.c.user_id)
        with self._database.reading() as connection:
            return [Waiting(**row) for row in connection.execute(query.limit(limit)).mappings()]

    def waiting_count(self) -> int:
        """The length of the queue."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count(CHANGES.c.since))) or 0

    def oldest_waiting(self) -> datetime | None:
        """Since when the first of the queue waits."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.min(CHANGES.c.since)))

    def changes(self, user_id: str) -> int:
        """The present number of a user's changes; 0 for a user without events."""
        with self._database.reading() as connection:
            return connection.scalar(select(CHANGES.c.changes).where(CHANGES.c.user_id == user_id)) or 0

    def put(self, written: WrittenReasoning) -> bool:
        """Store reasoning in place of what the same model wrote for the user before.

        Returns:
            False, and nothing is stored, where newer reasoning is there or the user was deleted meanwhile.
        """
        row = {column.name: getattr(written, column.name) for column in REASONING.columns}
        row["history"] = list(written.history)
        insert = self._database.insert(REASONING)
        new = {name: insert.excluded[name] for name in row if name not in KEY}
        newer = REASONING.c.changes <= insert.excluded.changes
        upsert = insert.on_conflict_do_update(index_elements=KEY, set_=new, where=newer).returning(REASONING.c.user_id)

        def work(connection: Connection) -> bool:
            # The row stays locked until the end: a deletion of the user comes before all this, or after it.
            query = select(CHANGES.c.changes).where(CHANGES.c.user_id == written.user_id).with_for_update()
            if written.changes > (connection.scalar(query) or 0):
                return False
            return connection.execute(upsert, row).first() is not None

        return self._database.write(work)

    def done(self, waiting: Waiting) -> bool:
        """Take a user off the queue, unless the user has changed since `waiting` was read.

        Returns:
            Whether the user is off the queue.
        """
        same = (CHANGES.c.user_id == waiting.user_id, CHANGES.c.changes == waiting.changes)
        update = CHANGES.update().where(*same).values(since=None)
        return self._database.write(lambda connection: connection.execute(update).rowcount == 1)

    def queue(self, user_ids: Sequence[str]) -> None:
        """Put users on the queue; those who wait keep their places."""
        if user_ids:
            now, users = datetime.now(UTC), set(user_ids)
            self._database.write(lambda connection: _upsert(self._database, connection, users, now, changed=False))

    def get(self, user_id: str, model: str) -> WrittenReasoning | None:
        """What a model wrote for a user."""
        stale = (func.coalesce(CHANGES.c.changes, 0) > REASONING.c.changes).label("stale")
        query = (
            select(REASONING, stale)
            .outerjoin(CHANGES, CHANGES.c.user_id == REASONING.c.user_id)
            .where(REASONING.c.user_id == user_id, REASONING.c.model == model)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        return WrittenReasoning(**{**row, "history": tuple(row["history"]), "stale": bool(row["stale"])})

    def drop(self, before: datetime) -> int:
        """Delete what was written before a time; how much it was."""
        delete = REASONING.delete().where(REASONING.c.created < before)
        return self._database.write(lambda connection: connection.execute(delete).rowcount)


def mark_changed(database: Database, connection: Connection, users: Collection[str], now: datetime) -> None:
    """Count a change of users and queue them, in the transaction of a connection; their reasoning is stale then.

    Args:
        database: of the connection.
        connection: in a transaction that writes.
        users: each once.
        now: since when they wait, if they do not yet.
    """
    if users:
        _upsert(database, connection, users, now, changed=True)


def mark_changed_after(database: Database, connection: Connection, seq: int) -> None:
    """Count a change of the users of all events that arrived after a number, and queue nobody."""
    users = select(EVENTS.c.user_id, literal(_start())).where(EVENTS.c.seq > seq).distinct()
    insert = database.insert(CHANGES).from_select(["user_id", "changes"], users.order_by(EVENTS.c.user_id))
    new = {"changes": CHANGES.c.changes + 1}
    connection.execute(insert.on_conflict_do_update(index_elements=["user_id"], set_=new))


def _upsert(
    database: Database, connection: Connection, users: Collection[str], now: datetime, *, changed: bool
) -> None:
    start = _start()
    rows = [{"user_id": user, "changes": start, "since": now} for user in sorted(users)]  # in one order: no deadlock
    connection.execute(_upsert_of(database.insert, changed), rows)


@cache
def _upsert_of(insert_into: Callable[[Table], Any], changed: bool) -> Any:
    insert = insert_into(CHANGES)
    new: dict[str, Any] = {"since": func.coalesce(CHANGES.c.since, insert.excluded.since)}
    if changed:
        new["changes"] = CHANGES.c.changes + 1
    return insert.on_conflict_do_update(index_elements=["user_id"], set_=new)


def _start() -> int:
    """Where a counter begins: the time, so that a user who is deleted and comes back is not below old reasoning."""
    return time.time_ns() // 1000
