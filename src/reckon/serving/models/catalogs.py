"""Stored items as rows of a run's catalog, and back.

Entry points: `rows_of`, `items_of`, `changed_items`. A store keeps texts, numbers, true and false; columns of a catalog
that hold something else are those of the run and do not change.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from reckon.data import Catalog
from reckon.errors import DataError
from reckon.serving.store.records import Item

KEPT = (str, bool, int, float)
AT_ONCE = 10_000


def items_of(catalog: Catalog) -> Iterator[list[Item]]:
    """The items of a catalog, for a store, some thousand at a time."""
    for start in range(0, len(catalog), AT_ONCE):
        yield [_item(row) for row in catalog.table.slice(start, AT_ONCE).to_pylist()]


def _item(row: dict[str, Any]) -> Item:
    plain = {name: _plain(name, cell) for name, cell in row.items()}
    columns = {name: cell for name, cell in plain.items() if name not in ("item_id", "title") and cell is not None}
    return Item(row["item_id"], plain["title"], columns)


def rows_of(items: Sequence[Item], catalog: Catalog) -> pa.Table:
    """The items with the columns of a catalog; others are left out.

    Raises:
        DataError: a value does not fit its column.
    """
    columns: dict[str, Any] = {}
    for field in catalog.table.schema:
        kept = _is_kept(field.type)
        values = [_cell(item, field.name) for item in items] if kept else _known(items, catalog, field.name)
        try:
            columns[field.name] = pa.array(values, field.type)
        except (pa.ArrowException, OverflowError, TypeError):
            rule = f"has a value that is no {field.type}"
            raise DataError(f"item column {field.name}", rule, "give each column one type of values") from None
    return pa.table(columns)


def changed_items(items: Sequence[Item], catalog: Catalog, rows: Mapping[str, int]) -> list[Item]:
    """The items that a catalog does not have, or has otherwise; `rows` are its rows by item id."""
    records = catalog.table.to_pylist()
    kept = [field.name for field in catalog.table.schema if _is_kept(field.type)]
    return [
        item
        for item in items
        if item.id not in rows or any(_cell(item, name) != _plain(name, records[rows[item.id]][name]) for name in kept)
    ]


def _cell(item: Item, name: str) -> Any:
    return {"item_id": item.id, "title": item.title}.get(name, item.columns.get(name))


def _known(items: Sequence[Item], catalog: Catalog, name: str) -> list[Any]:
    """A column that no store keeps, as the run has it; None for new items."""
    rows = {item_id: row for row, item_id in enumerate(catalog.ids)}
    return [catalog.table[name][rows[item.id]].as_py() if item.id in rows else None for item in items]


def _plain(name: str, value: Any) -> Any:
    """A cell of a catalog as a store keeps it: texts without NUL; None where it keeps nothing, as of NaN."""
    if not isinstance(value, KEPT) or value != value:
        return "" if name == "title" else None
    return value.replace("\x00", "") if isinstance(value, str) else value


def _is_kept(kind: pa.DataType) -> bool:
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    return text or pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
