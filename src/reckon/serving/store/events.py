"""Events of a store: what users did with items.

Entry point: `Events`.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from reckon.serving.store.conditions import COMPARISONS, Condition, meets
from reckon.serving.store.database.bulk import insert_rows
from reckon.serving.store.database.transactions import Database, chunks
from reckon.serving.store.nearline import mark_changed, mark_changed_after
from reckon.serving.store.records import UserEvent
from reckon.serving.store.tables import EVENTS, ITEMS, USERS

FIELDS = [column for column in EVENTS.columns if column.name != "seq"]
NAMES = [column.name for column in FIELDS]


class Events:
    """The events of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.insert(EVENTS).on_conflict_do_nothing(index_elements=["id"])
        self._insert = insert.returning(EVENTS.c.id)  # made once: that takes as long as to run it

    def add(self, events: Sequence[UserEvent], *, changing: Sequence[Condition] | None = None) -> list[bool]:
        """Store events that are not there yet, and queue their users for reasoning.

        Args:
            events: kept in this order where their times are equal.
            changing: conditions of which an event must meet one to change its user's history; None: every event does.

        Returns:
            For each event whether it is new. An event of a known id is not stored again, nor one that came before it in
            the same call.
        """
        first: dict[str, UserEvent] = {}
        for event in events:
            first.setdefault(event.id, event)

        def work(connection: Connection) -> set[str]:
            new = set(connection.execute(self._insert, [_row(event) for event in first.values()]).scalars())
            users = {first[id].user_id for id in new if meets(first[id], changing)}
            mark_changed(self._database, connection, users, datetime.now(UTC))
            return new

        untold = self._database.write(work) if first else set()
        told = []
        for event in events:
            told.append(event.id in untold)
            untold.discard(event.id)
        return told

    def load(self, batches: Iterable[Sequence[UserEvent]]) -> int:
        """Store many events fast, one transaction a batch. Queues nobody.

        Args:
            batches: some hundred thousand events each: larger ones are faster. Loading them again, after a stop,
                stores what is missing.

        Returns:
            How many were new.
        """
        new = 0
        for batch in batches:
            rows = [_values(event) for event in batch]
            new += self._database.write(partial(self._load, rows=rows))
        return new

    def _load(self, connection: Connection, rows: list[tuple[Any, ...]]) -> int:
        last = connection.scalar(select(func.max(EVENTS.c.seq))) or 0
        new = insert_rows(connection, EVENTS, NAMES, rows)
        mark_changed_after(self._database, connection, last)
        return new

    def missing(self, item_ids: Sequence[str], user_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """The ids of items and of users that the store lacks, each once, in the order given."""
        lacking = []
        with self._database.reading() as connection:
            for table, ids in ((ITEMS, item_ids), (USERS, user_ids)):
                wanted = list(dict.fromkeys(ids))
                there: set[str] = set()
                for part in chunks(wanted):
                    there |= set(connection.execute(select(table.c.id).where(table.c.id.in_(part))).scalars())
                lacking.append([id for id in wanted if id not in there])
        return lacking[0], lacking[1]

    def of_user(self, user_id: str, *, limit: int, conditions: Sequence[Condition] | None = None) -> list[UserEvent]:
        """The latest events of a user, oldest first: by time, those of one time in the order of their arrival.

        Args:
            user_id: whose.
            limit: how many at most.
            conditions: events that meet none of them are left out; None: all events.
        """
        return self._latest([EVENTS.c.user_id == user_id, *_any_of(conditions)], limit)

    def of_item(
        self,
        item_id: str,
        *,
        limit: int,
        without_user: str | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> list[UserEvent]:
        """The latest events of an item, as `of_user`; those of one user may be left out."""
        where = [EVENTS.c.item_id == item_id, *_any_of(conditions)]
        return self._latest(where if without_user is None else [*where, EVENTS.c.user_id != without_user], limit)

    def _latest(self, where: Sequence[ColumnElement[bool]], limit: int) -> list[UserEvent]:
        query = select(*FIELDS).where(*where).order_by(EVENTS.c.time.desc(), EVENTS.c.seq.desc()).limit(limit)
        with self._database.reading() as connection:
            return [UserEvent(**row) for row in connection.execute(query).mappings()][::-1]

    def mean_value(
        self,
        *,
        user_id: str | None = None,
        item_id: str | None = None,
        without_user: str | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> float | None:
        """Mean value of the events of a user or of an item; None where there are none with a value."""
        where = _any_of(conditions)
        for column, value in ((EVENTS.c.user_id, user_id), (EVENTS.c.item_id, item_id)):
            if value is not None:
                where.append(column == value)
        if without_user is not None:
            where.append(EVENTS.c.user_id != without_user)
        with self._database.reading() as connection:
            mean = connection.scalar(select(func.avg(EVENTS.c.value)).where(*where))
        return None if mean is None else float(mean)

    def item_counts(
        self, *, conditions: Sequence[Condition] | None = None, since: datetime | None = None
    ) -> dict[str, int]:
        """How many events each item has, most first; of equal numbers, by id.

        Args:
            conditions: events that meet none of them do not count; None: all events.
            since: earlier events do not count.
        """
        number = func.count().label("number")
        query = select(EVENTS.c.item_id, number).where(*_any_of(conditions))
        if since is not None:
            query = query.where(EVENTS.c.time >= since)
        query = query.group_by(EVENTS.c.item_id).order_by(number.desc(), EVENTS.c.item_id)
        with self._database.reading() as connection:
            return {item_id: count for item_id, count in connection.execute(query)}

    def recent(self, limit: int, *, before: int | None = None, after: int | None = None) -> list[tuple[int, UserEvent]]:
        """Events with their numbers of arrival, latest arrival first.

        Args:
            limit: how many at most.
            before: only events that arrived before that number, for the next page.
            after: only events that arrived after that number, for what is new.
        """
        query = select(EVENTS).order_by(EVENTS.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(EVENTS.c.seq < before)
        if after is not None:
            query = query.where(EVENTS.c.seq > after)
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings()
            return [(row["seq"], UserEvent(**{name: row[name] for name in NAMES})) for row in rows]

    def count(self) -> int:
        """How many there are."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(EVENTS)) or 0


_values = attrgetter(*NAMES)


def _row(event: UserEvent) -> dict[str, Any]:
    return dict(zip(NAMES, _values(event), strict=True))


def _any_of(conditions: Sequence[Condition] | None) -> list[ColumnElement[bool]]:
    """The WHERE of some conditions."""
    return [] if conditions is None else [or_(False, *map(_clause, conditions))]


def _clause(condition: Condition) -> ColumnElement[bool]:
    of_type = EVENTS.c.type == condition.type
    if condition.comparison is None:
        return of_type
    return and_(of_type, COMPARISONS[condition.comparison](EVENTS.c.value, condition.value))
