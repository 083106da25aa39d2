"""Versions of a store's tables: scripts of alembic, run from here.

Entry points: `state_of`, `migrate`, `newest`. A new version is a script in `versions/` that goes on from the newest.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from reckon.serving.store.tables import METADATA, VERSION_TABLE

SCRIPTS = Path(__file__).parent
LOCK = 0x5245434B4F4E  # of PostgreSQL: one process migrates at a time


@dataclass(frozen=True, slots=True)
class State:
    """What a database holds."""

    kind: Literal["empty", "foreign", "older", "current", "newer"]
    version: str | None
    """Of the store in it."""


def newest() -> str:
    """The version that this Reckon reads and writes."""
    version = _scripts().get_current_head()
    assert version is not None
    return version


def state_of(connection: Connection) -> State:
    """What the database of a connection holds."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        # A server's database may hold tables of the shop, too; a file of other tables is somebody else's.
        strange = tables if connection.dialect.name == "sqlite" else tables & set(METADATA.tables)
        return State("foreign" if strange else "empty", None)
    options = {"version_table": VERSION_TABLE}
    version = MigrationContext.configure(connection, opts=options).get_current_revision()
    if version == newest():
        return State("current", version)
    known = {script.revision for script in _scripts().walk_revisions()}
    return State("older" if version is None or version in known else "newer", version)


def migrate(connection: Connection) -> None:
    """Bring the tables to the newest version, in the transaction of a connection."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK})"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return _scripts_in(SCRIPTS)


@cache
def _scripts_in(place: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
