"""API keys and facts of a store.

Entry points: `Keys`, `Facts`.
"""

from sqlalchemy import select

from reckon.serving.store.database.transactions import Database
from reckon.serving.store.errors import ValueRefused
from reckon.serving.store.records import Key
from reckon.serving.store.tables import FACTS, KEYS


class Keys:
    """The API keys of a store, without their secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: Key) -> None:
        """Store a new key.

        Raises:
            ValueRefused: another key has the name.
        """
        row = {column.name: getattr(key, column.name) for column in KEYS.columns}
        insert = self._database.insert(KEYS).on_conflict_do_nothing(index_elements=["name"]).returning(KEYS.c.name)
        if self._database.write(lambda connection: connection.execute(insert, row).first()) is None:
            problem = f"another key has the name {key.name!r}"
            raise ValueRefused(self._database.name, problem, "choose another name, or remove that key first")

    def all(self) -> list[Key]:
        """Every key, by name."""
        with self._database.reading() as connection:
            return [Key(**row) for row in connection.execute(select(KEYS).order_by(KEYS.c.name)).mappings()]

    def remove(self, name: str) -> bool:
        """Delete a key; whether it was there."""
        delete = KEYS.delete().where(KEYS.c.name == name)
        return self._database.write(lambda connection: connection.execute(delete).rowcount == 1)


class Facts:
    """Texts by name that the service notes of itself, such as which run was imported."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str | None:
        """The text of a name."""
        with self._database.reading() as connection:
            return connection.scalar(select(FACTS.c.value).where(FACTS.c.name == name))

    def set(self, name: str, value: str) -> None:
        """Note a text in place of the one before."""
        insert = self._database.insert(FACTS)
        insert = insert.on_conflict_do_update(index_elements=["name"], set_={"value": insert.excluded.value})
        self._database.write(lambda connection: connection.execute(insert, {"name": name, "value": value}))
