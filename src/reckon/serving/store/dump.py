"""A store as JSON lines, whichever database it is in, and back.

Entry points: `dump`, `restore`. The first line names the version of the tables, each further line holds one record with
its kind, the last line counts them. Times are in RFC 3339, bytes in base64.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Connection, LargeBinary, Table, func, select

from reckon.errors import DataError
from reckon.files import whole_file
from reckon.progress import Phase, phase
from reckon.serving.store import migrations, tables
from reckon.serving.store.database.bulk import insert_rows
from reckon.serving.store.database.column_types import Label, Moment, Number, Unstorable, to_json
from reckon.serving.store.errors import StoreError
from reckon.serving.store.store import Store

KINDS: dict[str, Table] = {
    "item": tables.ITEMS,
    "user": tables.USERS,
    "event": tables.EVENTS,  # in their order of arrival, which is all that their numbers say
    "answer": tables.ANSWERS,
    "changes": tables.CHANGES,
    "reasoning": tables.REASONING,
    "key": tables.KEYS,
    "fact": tables.FACTS,
}
FIRST, LAST = "reckon store", "end"
OBJECTS = ("columns", "parts")  # JSON columns that hold an object; the others hold a list
BATCH = 20_000  # records in memory at a time
NEW_DUMP = "make a new dump"


def dump(store: Store, file: Path) -> int:
    """Write everything to a file, as it is at one moment; readable by its owner alone.

    Returns:
        How many records.

    Raises:
        StoreError: the store cannot be read.
    """
    with whole_file(file) as part, store.database.snapshot() as connection, part.open("w", encoding="utf-8") as out:
        total = sum(connection.scalar(select(func.count()).select_from(table)) or 0 for table in KINDS.values())
        out.write(to_json({"kind": FIRST, "version": migrations.newest()}) + "\n")
        with phase("writing records", total=total) as writing:
            for kind, table in KINDS.items():
                columns = _columns(table)
                for rows in connection.execute(select(*columns).order_by(*table.primary_key)).partitions():
                    for row in rows:
                        record = {column.name: _plain(value) for column, value in zip(columns, row, strict=True)}
                        out.write(to_json({"kind": kind, **record}) + "\n")
                    writing.advance(len(rows))
        out.write(to_json({"kind": LAST, "records": total}) + "\n")
    file.chmod(0o600)  # it holds what users did
    return total


def restore(file: Path, store: Store) -> int:
    """Fill an empty store from a dump: with everything, or nothing.

    Returns:
        How many records.

    Raises:
        DataError: the file is no whole dump of this version; names the line.
        StoreError: the store is not empty, or cannot be written.
    """
    if not file.is_file():
        raise DataError(str(file), "is no file", "check the path")

    def work(connection: Connection) -> int:
        for table in KINDS.values():
            if connection.execute(select(*table.primary_key).limit(1)).first() is not None:
                raise StoreError(store.name, "is not empty, so nothing is restored into it", "name a new store")
        with phase("restoring", total=file.stat().st_size, unit="bytes") as restoring:
            return sum(_insert(connection, file, *batch) for batch in _batches(file, restoring))

    return store.database.write(work)


def _insert(connection: Connection, file: Path, kind: str, rows: list[tuple[Any, ...]], first: int) -> int:
    table = KINDS[kind]
    where = f"{file}, lines {first} to {first + len(rows) - 1}"
    try:
        inserted = insert_rows(connection, table, [column.name for column in _columns(table)], rows)
    except Unstorable as refused:
        raise DataError(where, str(refused), NEW_DUMP) from None
    if inserted < len(rows):
        raise DataError(where, f"hold a record of kind {kind} twice", NEW_DUMP)
    return inserted


def _batches(file: Path, restoring: Phase) -> Iterator[tuple[str, list[tuple[Any, ...]], int]]:
    """Kind, rows and the number of the first line, of records that follow each other."""
    kind, number, records, ended = "", 0, 0, False
    rows: list[tuple[Any, ...]] = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file}, line {number}"
            if ended:
                raise DataError(where, "is behind the end of the dump", NEW_DUMP)
            restoring.advance(len(line))
            record = _parsed(line, where)
            named = record.pop("kind", None)
            if number == 1:
                _check_first(named, record, str(file))
                continue
            if named != kind or len(rows) == BATCH:
                if rows:
                    yield kind, rows, number - len(rows)
                kind, rows = str(named), []
            if named == LAST:
                ended = True
                if record != {"records": records}:
                    raise DataError(where, f"counts other records than the {records:,} before it", NEW_DUMP)
                continue
            rows.append(_row(named, record, where))
            records += 1
    if not ended:
        raise DataError(f"{file}, line {number + 1}", "the dump breaks off", NEW_DUMP)


def _parsed(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(where, "is no JSON", NEW_DUMP) from None
    if not isinstance(record, dict):
        raise DataError(where, "is no JSON object", NEW_DUMP)
    return record


def _check_first(kind: object, record: dict[str, Any], file: str) -> None:
    if kind != FIRST:
        raise DataError(f"{file}, line 1", "does not begin a dump of a store", "name a file of `reckon store dump`")
    if record != {"version": migrations.newest()}:
        problem = f"is of version {record.get('version')!r}, and this Reckon reads {migrations.newest()}"
        fix = "restore it with the Reckon that wrote it, then run `reckon store migrate`"
        raise DataError(f"{file}, line 1", problem, fix)


def _row(kind: object, record: dict[str, Any], where: str) -> tuple[Any, ...]:
    """The values of a record's columns."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(where, f"has the unknown kind {kind!r}", NEW_DUMP)
    columns = _columns(KINDS[kind])
    names = {column.name for column in columns}
    if record.keys() != names:
        odd = sorted(record.keys() ^ names)
        raise DataError(where, f"lacks or has too much: {', '.join(odd)}", NEW_DUMP)
    return tuple(_value(column, record[column.name], where) for column in columns)


def _columns(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if column.name != "seq"]


def _plain(value: Any) -> Any:
    """A value of a row as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    return b64encode(value).decode() if isinstance(value, bytes) else value


def _value(column: Column[Any], value: Any, where: str) -> Any:
    """A value of a row from JSON."""
    kind = type(column.type)
    try:
        if value is None and column.nullable:
            return None
        if kind is Moment:
            return datetime.fromisoformat(value)
        if kind is LargeBinary:
            return b64decode(value, validate=True)
        wanted: Any = {Label: str, Boolean: bool, BigInteger: int, Number: (int, float)}.get(kind, list)
        if kind is JSON and column.name in OBJECTS:
            wanted = dict
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not Boolean):
            raise TypeError
    except (TypeError, ValueError):
        raise DataError(where, f"{column.name} = {value!r} is of another form", NEW_DUMP) from None
    return value
