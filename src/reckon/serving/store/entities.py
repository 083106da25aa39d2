"""Items and users of a store.

Entry points: `Items`, `Users`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import Connection, RowMapping, Table, func, select

from reckon.serving.store.database.transactions import Database, chunks
from reckon.serving.store.records import Item, User
from reckon.serving.store.tables import ANSWERS, CHANGES, EVENTS, ITEMS, REASONING, USERS

R = TypeVar("R", Item, User)

PAGE = 2000  # records of `all` in memory at a time


class Entities(Generic[R]):
    """What items and users have in common: records with an id, columns and times."""

    table: ClassVar[Table]
    record: Callable[..., R]

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, records: Sequence[R], *, replace: bool = True) -> None:
        """Insert records, and replace those that are there; of several with one id, the last.

        Args:
            records: in any order. Their times are ignored: the store sets them.
            replace: False leaves alone what is there.
        """
        latest = {record.id: record for record in records}
        now = datetime.now(UTC)
        rows = [self._row(latest[id], now) for id in sorted(latest)]  # in one order, no deadlock
        if rows:
            self._database.write(lambda connection: self._put(connection, rows, replace))

    def change(self, id: str, change: Callable[[R], R]) -> R | None:
        """Change a record, in one transaction.

        Args:
            id: of the record.
            change: makes the new record of the old one; may be called again where another transaction was in the way.

        Returns:
            The record as it is now; None where there is none of this id.
        """

        def work(connection: Connection) -> R | None:
            query = select(self.table).where(self.table.c.id == id).with_for_update()
            old = connection.execute(query).mappings().first()
            if old is None:
                return None
            now = datetime.now(UTC)
            new = self._row(change(self._record(old)), now) | {"id": id}
            self._put(connection, [new], replace=True)
            return self._record(new | {"created": old["created"]})

        return self._database.write(work)

    def get(self, id: str) -> R | None:
        """The record of an id."""
        return self.some([id]).get(id)

    def some(self, ids: Sequence[str]) -> dict[str, R]:
        """The records of those ids that are there."""
        found: dict[str, R] = {}
        with self._database.reading() as connection:
            for part in chunks(list(dict.fromkeys(ids))):
                rows = connection.execute(select(self.table).where(self.table.c.id.in_(part))).mappings()
                found |= {row["id"]: self._record(row) for row in rows}
        return found

    def page(self, *, after: str | None = None, limit: int) -> list[R]:
        """At most `limit` records in the order of their ids, from the first one behind `after` on."""
        query = select(self.table).order_by(self.table.c.id).limit(limit)
        if after is not None:
            query = query.where(self.table.c.id > after)
        with self._database.reading() as connection:
            return [self._record(row) for row in connection.execute(query).mappings()]

    def all(self) -> Iterator[R]:
        """Every record in the order of ids. Those that come or go meanwhile may be among them or not."""
        page = self.page(limit=PAGE)
        while page:
            yield from page
            page = self.page(after=page[-1].id, limit=PAGE)

    def count(self) -> int:
        """How many there are."""
        with self._database.reading() as connection:
            return connection.scalar(select(func.count()).select_from(self.table)) or 0

    def delete(self, ids: Sequence[str]) -> list[str]:
        """Delete records; the ids of those that were there, in the order given."""
        given = list(dict.fromkeys(ids))

        def work(connection: Connection) -> set[str]:
            gone: set[str] = set()
            for part in chunks(sorted(given)):
                gone |= self._delete(connection, part)
            return gone

        there = self._database.write(work) if given else set()
        return [id for id in given if id in there]

    def _delete(self, connection: Connection, ids: list[str]) -> set[str]:
        deleted = self.table.delete().where(self.table.c.id.in_(ids)).returning(self.table.c.id)
        return set(connection.execute(deleted).scalars())

    def _put(self, connection: Connection, rows: list[dict[str, Any]], replace: bool) -> None:
        insert = self._database.insert(self.table)
        if replace:
            new = {name: insert.excluded[name] for name in rows[0] if name not in ("id", "created")}
            insert = insert.on_conflict_do_update(index_elements=["id"], set_=new)
        else:
            insert = insert.on_conflict_do_nothing(index_elements=["id"])
        connection.execute(insert, rows)

    def _row(self, record: R, now: datetime) -> dict[str, Any]:
        row = {column.name: getattr(record, column.name) for column in self.table.columns}
        return row | {"columns": dict(record.columns), "created": now, "updated": now}

    def _record(self, row: RowMapping | Mapping[str, Any]) -> R:
        return self.record(**row)


class Items(Entities[Item]):
    """The items of a store."""

    table = ITEMS
    record = Item

    def latest(self, limit: int) -> list[str]:
        """Ids of the items that were stored last, last one first."""
        query = select(ITEMS.c.id).order_by(ITEMS.c.created.desc(), ITEMS.c.id).limit(limit)
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())


class Users(Entities[User]):
    """The users of a store. With a user goes whatever is kept of them."""

    table = USERS
    record = User

    def _delete(self, connection: Connection, ids: list[str]) -> set[str]:
        # The changes go first: who stores reasoning holds that row, and so comes before all this or finds it gone.
        kept = [table.c.user_id for table in (CHANGES, REASONING, EVENTS, ANSWERS)]
        there: set[str] = set()
        for user_id in [*kept, USERS.c.id]:
            there |= set(connection.execute(select(user_id).distinct().where(user_id.in_(ids))).scalars())
            connection.execute(user_id.table.delete().where(user_id.in_(ids)))
        return there
