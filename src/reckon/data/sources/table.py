"""Your own data: a table of interactions and, if there is one, a table of items, with a mapping of their columns.

Entry point: `Table`. Reads CSV, JSON lines, Parquet (plain or gzipped), SQLite and PostgreSQL.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from reckon.data.prepare.times import TimeUnit
from reckon.data.prepare.workspace import Workspace, named, quoted
from reckon.data.scale import Scale
from reckon.data.sources.aggregates import left_out
from reckon.data.sources.databases import copy_table, is_database, public_name
from reckon.data.sources.files import FileStyle, columns_of, fingerprint, relation, tells_format
from reckon.data.sources.load import (
    ROW_ORDER,
    items_from_interactions,
    refuse_off_scale,
    store_interactions,
    store_items,
)
from reckon.data.sources.where import Condition
from reckon.data.splits import Protocol
from reckon.errors import ConfigError, DataError
from reckon.messages import listed

OURS = ("user_id", "item_id", "timestamp", "position", "rating", "summary", "review", "title")
REQUIRED = ("user_id", "item_id")
REQUIRED_OF_ITEMS = ("item_id", "title")
FEW_VALUES = 10  # of a column that may tell kinds of event apart
SAMPLE = 20_000  # rows looked at for such columns
MOST_LOOKED_AT = 100  # such columns; each costs a look into the file


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
    """The same for items: item_id, title, and further columns under any name, in the order of the prompts. The
    other columns follow, see `text_columns`."""
    text_columns: tuple[str, ...] | None = None
    """Columns of the items, by their own names, that become item text beside those in `item_columns`; None: all."""
    keep: tuple[str, ...] = ()
    """Item columns kept although they may count events of the test period (`reckon.data.sources.aggregates`)."""
    table: str | None = None
    """The table of interactions in a database."""
    items_table: str | None = None
    """The table of items in a database."""
    time_unit: TimeUnit = "auto"
    time_format: str | None = None
    """How dates are written, as for `strptime`; None: ISO dates and a few forms that can be read in one way only."""
    where: Condition | None = None
    """Which rows of the interactions count, e.g. of several kinds of event; None: all."""
    style: FileStyle = field(default_factory=FileStyle)
    """How the file of the interactions is written. Encoding and delimiter hold for the items too, and the format where
    the name of their file tells none."""
    scale: Scale | None = None
    """Of the ratings; a rating outside is refused. None: the ratings tell it (`Scale.of_ratings`)."""
    unknown_items: str = "error"
    name: str = "table"
    words: dict[str, str] = field(default_factory=lambda: {"item": "item", "items": "items", "action": "chose"})
    split: Protocol = "temporal"

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Read both tables; see `Source.load`."""
        record: dict[str, Any] = {"columns": self.columns, "item_columns": self.item_columns, "files": []}
        if self.where is not None:
            record["where"] = self.where.text
        if self.keep:
            record["kept"] = list(self.keep)
        source, where, found = self._open(workspace, self.interactions, self.table, "their_interactions", record)
        columns = self._interaction_columns(found, where)
        title = columns.pop("title", None)
        condition = None if self.where is None else self.where.sql(found, where)
        if condition is None:
            self._note_kinds(workspace, source, found, columns, where)
        if self.items is not None or self.items_table is not None:
            location = self.items or self.interactions
            items, items_where, found = self._open(workspace, location, self.items_table, "their_items", record)
            record["left_out"] = left_out(workspace, found, self.keep, items_where)
            store_items(workspace, items, self._item_columns(found, items_where, record["left_out"]), items_where)
        store_interactions(workspace, source, columns, where, self.time_unit, self.time_format, condition)
        if not workspace.has("items"):
            source = source if condition is None else f"(SELECT * FROM {source} WHERE {condition})"
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
        style = self.style
        if into == "their_items":
            known = path.is_dir() or tells_format(path)
            style = replace(style, format=None if known else style.format, names=None, header=True)
        sql = relation(workspace, path, style)
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

    def _note_kinds(
        self, workspace: Workspace, source: str, found: dict[str, str], used: dict[str, str], where: str
    ) -> None:
        """Say which unused columns hold a few words only: they may tell events apart that do not mean the same."""
        others = [name for name in found if quoted(name) not in used.values() and name != "title"][:MOST_LOOKED_AT]
        if not others:
            return
        sample = f"(SELECT {', '.join(map(quoted, others))} FROM {source} LIMIT {SAMPLE})"
        with named(where):
            for name in others:
                text = f"strip_id({quoted(name)})"
                values, numbers = workspace.row(
                    f"SELECT list(DISTINCT {text}), count(TRY_CAST({text} AS DOUBLE)) FROM {sample} WHERE {text} <> ''"
                )
                if numbers or not values or not 2 <= len(values) <= FEW_VALUES:
                    continue
                workspace.note(
                    f"{where}: {name} is one of {listed(sorted(values))} and was not used; where it tells kinds of "
                    f"event apart, --where \"{name} = '{min(values)}'\" selects one"
                )

    def _item_columns(self, found: dict[str, str], where: str, gone: list[str]) -> dict[str, str]:
        named = {"item_id": "item_id", "title": "title"} | self.item_columns
        for name in self.text_columns or ():
            if name not in found:
                raise DataError(where, f"has no column {name!r}", f"give some of {listed(found)}")
        further = self.text_columns if self.text_columns is not None else tuple(found)
        taken = {*named, *named.values()}
        named |= {name: name for name in further if name not in taken}
        named = {ours: theirs for ours, theirs in named.items() if theirs not in gone or ours in REQUIRED_OF_ITEMS}
        return _pick(named, self.item_columns, REQUIRED_OF_ITEMS, found, where, "--item-map")


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
            fix = f"pass {option} {ours}=COLUMN with one of {listed(found)}"
            if all(name.replace(".", "").isdigit() for name in found):
                fix += ", or --columns if the file has no header"
            raise DataError(where, f"has no column {theirs!r}", fix)
    return picked
