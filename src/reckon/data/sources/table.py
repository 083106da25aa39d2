"""Your own data: a table of interactions and, if there is one, a table of items, with a mapping of their columns.

Entry point: `Table`. Reads CSV, JSON lines, Parquet (plain or gzipped), SQLite and PostgreSQL.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reckon.data.prepare.times import TimeUnit
from reckon.data.prepare.workspace import Workspace, quoted
from reckon.data.scale import Scale
from reckon.data.sources.databases import copy_table, is_database, public_name
from reckon.data.sources.files import CsvStyle, columns_of, fingerprint, relation
from reckon.data.sources.load import (
    ROW_ORDER,
    items_from_interactions,
    refuse_off_scale,
    store_interactions,
    store_items,
)
from reckon.data.splits import Protocol
from reckon.errors import ConfigError, DataError

OURS = ("user_id", "item_id", "timestamp", "position", "rating", "summary", "review", "title")
REQUIRED = ("user_id", "item_id")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Interactions and items of any layout."""

    interactions: str
    """A file, or a database (SQLite file, postgresql:// address)."""
    items: str | None = None
    """A file or database with one row per item; None: items are collected from the interactions."""
    columns: dict[str, str] = field(default_factory=dict)
    """Our name to the name in the interactions: user_id, item_id, timestamp or position, rating, summary, review, and
    title where there is no table of items. A column that already has our name needs no entry."""
    item_columns: dict[str, str] = field(default_factory=dict)
    """The same for items: item_id, title, and further columns under any name, in the order of the prompts. Columns not
    named here are left out, unless nothing is mapped: then all are taken."""
    table: str | None = None
    """The table of interactions in a database."""
    items_table: str | None = None
    """The table of items in a database."""
    time_unit: TimeUnit = "auto"
    csv: CsvStyle = field(default_factory=CsvStyle)
    scale: Scale | None = None
    """Of the ratings; a rating outside is refused. None: the ratings tell it (`Scale.of_ratings`)."""
    unknown_items: str = "error"
    name: str = "table"
    words: dict[str, str] = field(default_factory=lambda: {"item": "item", "items": "items", "action": "chose"})
    split: Protocol = "temporal"

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Read both tables; see `Source.load`."""
        record: dict[str, Any] = {"columns": self.columns, "item_columns": self.item_columns, "files": []}
        source, where, found = self._open(workspace, self.interactions, self.table, "their_interactions", record)
        columns = self._interaction_columns(found, where)
        title = columns.pop("title", None)
        if self.items is not None or self.items_table is not None:
            location = self.items or self.interactions
            items, items_where, found = self._open(workspace, location, self.items_table, "their_items", record)
            store_items(workspace, items, self._item_columns(found, items_where), items_where)
            store_interactions(workspace, source, columns, where, self.time_unit)
        else:
            store_interactions(workspace, source, columns, where, self.time_unit)
            items_from_interactions(workspace, title, source, columns["item_id"], where)
        if self.scale is not None:
            refuse_off_scale(workspace, self.scale, columns, where)
        return record

    def _open(
        self, workspace: Workspace, location: str, table: str | None, into: str, record: dict[str, Any]
    ) -> tuple[str, str, dict[str, str]]:
        """SQL of a location, what to call it in messages, and its columns."""
        if is_database(location):
            option = "--table" if into == "their_interactions" else "--items-table"
            if table is None:
                raise ConfigError(option, None, f"{public_name(location)} is a database", f"pass {option} NAME")
            copy_table(workspace, location, table, into)
            record["files"].append({"name": public_name(location), "table": table})
            return into, f"table {table}", workspace.columns(into)
        path = Path(location)
        sql = relation(workspace, path, self.csv)
        found = columns_of(workspace, path, sql)
        record["files"].append(fingerprint(path))
        return sql, str(path), found

    def _interaction_columns(self, found: dict[str, str], where: str) -> dict[str, str]:
        for ours in self.columns:
            if ours not in OURS:
                raise ConfigError(
                    f"map {ours}", self.columns[ours], "is no field of interactions", f"map one of {', '.join(OURS)}"
                )
        if "timestamp" in self.columns and "position" in self.columns:
            raise ConfigError("map position", self.columns["position"], "timestamp is mapped too", "map one of the two")
        named = {ours: self.columns.get(ours, ours) for ours in OURS}
        if "position" in self.columns:
            named.pop("timestamp")
        elif "timestamp" in found or "timestamp" in self.columns:
            named.pop("position")
        return _pick(named, self.columns, REQUIRED, found, where, "--map")

    def _item_columns(self, found: dict[str, str], where: str) -> dict[str, str]:
        named = {"item_id": "item_id", "title": "title"} | self.item_columns
        if not self.item_columns:
            named |= {name: name for name in found if name != "line"}
        return _pick(named, self.item_columns, ("item_id", "title"), found, where, "--item-map")


def _pick(
    named: dict[str, str],
    asked: dict[str, str],
    required: tuple[str, ...],
    found: dict[str, str],
    where: str,
    option: str,
) -> dict[str, str]:
    """Our names to SQL; a column that is asked for or required must be there."""
    picked = {}
    for ours, theirs in named.items():
        if theirs == ROW_ORDER and ours == "position":
            picked[ours] = ROW_ORDER
        elif theirs in found:
            picked[ours] = quoted(theirs)
        elif ours in asked or ours in required:
            raise DataError(
                where, f"has no column {theirs!r}", f"pass {option} {ours}=COLUMN with one of {', '.join(found)}"
            )
    return picked
