"""Column names of an input: read from the first line of a CSV file, and checked for every kind of input.

Entry points: `names_in`, `check_names`, `as_typed` for a separator as it was typed. Every step is linear in the length
of the line.
"""

import re
from collections.abc import Iterable

from reckon.errors import ConfigError, DataError
from reckon.messages import cut

MOST_COLUMNS = 2_000  # SQLite and PostgreSQL hold no more; a table that does is a matrix of users and items
LONGEST_NAME = 200  # characters; a longer first field is text, not a name
LONGEST_SEPARATOR = 4  # bytes, DuckDB's limit
TYPED = re.compile(r"(?P<name>.+):(?:token|token_seq|float|float_seq)")  # a header that states types
ESCAPES = {r"\t": "\t", "tab": "\t", "TAB": "\t"}


def as_typed(delimiter: str | None) -> str | None:
    """A separator of fields from the command line, where a tab is hard to type; None for an empty one.

    Raises:
        ConfigError: it ends a line or a quoted field, or is too long.
    """
    separator = ESCAPES.get(delimiter, delimiter) if delimiter else None
    if separator is None:
        return None
    if any(mark in separator for mark in '"\n\r\0') or len(separator.encode()) > LONGEST_SEPARATOR:
        rule = f"is no separator of at most {LONGEST_SEPARATOR} bytes without quotes and line ends"
        raise ConfigError("--delimiter", delimiter, rule, r"use e.g. ';', '|', '\t' or '::'")
    return separator


def names_in(line: str, delimiter: str, header: bool, where: str) -> tuple[str, ...]:
    """Column names of the first line; numbers where it is no header.

    Raises:
        DataError: a quoted name does not end.
    """
    fields = _fields(line, delimiter, where)
    if not header:
        return tuple(f"column{number}" for number in range(1, len(fields) + 1))
    names = tuple(name.strip() for name in fields)
    if len(names) > MOST_COLUMNS or any(len(name) > LONGEST_NAME for name in names):
        return names  # refused by `check_names`
    typed = [TYPED.fullmatch(name) for name in names]
    return tuple(match["name"] for match in typed if match) if all(typed) else names


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse names that cannot be told apart, are none, or are too many.

    Raises:
        DataError: see above. Names that differ in case alone are one name to a database.
    """
    names = list(names)
    if len(names) > MOST_COLUMNS:
        raise DataError(
            where,
            f"has {len(names):,} columns, more than {MOST_COLUMNS:,}",
            "give one row per interaction or item, and a column per field",
        )
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise DataError(where, "has a header with an empty name", _fix())
        if len(name) > LONGEST_NAME:
            problem = f"has a first line with a name of {len(name):,} characters, {cut(name, 30)!r}"
            raise DataError(where, problem, "give a header of short names, pass --columns or --no-header")
        other = seen.setdefault(name.lower(), name)
        if other is not name:
            same = "twice" if other == name else f"and {other!r}, which differ in case alone"
            raise DataError(where, f"has the column {name!r} {same}", _fix())


def _fix() -> str:
    return "give every column its own name in the first line, or pass --columns"


def _fields(line: str, delimiter: str, where: str) -> list[str]:
    """The fields of a line; `csv` knows neither separators of two characters nor fields beyond 128 KB."""
    if '"' not in line:
        return line.split(delimiter)
    fields, place = [], 0
    while True:
        if line.startswith('"', place):
            field, place = _quoted(line, place + 1, where)
        else:
            field = ""
        end = line.find(delimiter, place)
        fields.append(field + line[place : end if end >= 0 else len(line)])
        if end < 0:
            return fields
        place = end + len(delimiter)


def _quoted(line: str, place: int, where: str) -> tuple[str, int]:
    """A quoted field from behind its first quote, and where the line goes on behind its last."""
    parts = []
    while True:
        end = line.find('"', place)
        if end < 0:
            raise DataError(f"{where}, row 1", "has a quote that does not end in its line", "correct the first line")
        parts.append(line[place:end])
        if not line.startswith('"', end + 1):
            return "".join(parts), end + 1
        parts.append('"')
        place = end + 2
