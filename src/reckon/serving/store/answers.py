"""Answers of the service, kept for their next pages and explanations.

Entry point: `Answers`.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from reckon.serving.store.database.transactions import Database
from reckon.serving.store.records import Answer
from reckon.serving.store.tables import ANSWERS

LISTS = ("history", "items", "scores")


class Answers:
    """The answers of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, answer: Answer) -> None:
        """Insert an answer, or replace that of the same id."""
        self._database.write(lambda connection: self._put(connection, answer))

    def change(self, id: str, change: Callable[[Answer], Answer]) -> Answer | None:
        """Change an answer, as for its next page, in one transaction.

        Args:
            id: of the answer.
            change: makes the new answer of the old one; may be called again where another transaction was in the way.

        Returns:
            The answer as it is now; None where there is none of this id.
        """

        def work(connection: Connection) -> Answer | None:
            row = connection.execute(select(ANSWERS).where(ANSWERS.c.id == id).with_for_update()).mappings().first()
            if row is None:
                return None
            new = change(_answer(row))
            self._put(connection, new)
            return new

        return self._database.write(work)

    def get(self, id: str) -> Answer | None:
        """The answer of an id."""
        with self._database.reading() as connection:
            row = connection.execute(select(ANSWERS).where(ANSWERS.c.id == id)).mappings().first()
        return None if row is None else _answer(row)

    def drop(self, before: datetime) -> int:
        """Delete the answers created before a time; how many they were."""
        delete = ANSWERS.delete().where(ANSWERS.c.created < before)
        return self._database.write(lambda connection: connection.execute(delete).rowcount)

    def _put(self, connection: Connection, answer: Answer) -> None:
        row: dict[str, Any] = {column.name: getattr(answer, column.name) for column in ANSWERS.columns}
        row |= {name: list(row[name]) for name in LISTS}
        row["parts"] = {name: list(values) for name, values in answer.parts.items()}
        insert = self._database.insert(ANSWERS)
        new = {name: insert.excluded[name] for name in row if name != "id"}
        connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=new), row)


def _answer(row: RowMapping) -> Answer:
    parts = {name: tuple(values) for name, values in row["parts"].items()}
    return Answer(**{**row, **{name: tuple(row[name]) for name in LISTS}, "parts": parts})
