"""Read one file as a DuckDB relation: CSV, JSON lines, Parquet, plain or gzipped.

Entry points: `relation` for what stands in a FROM clause, `fingerprint` for the record of an input file.

CSV dialects are not guessed from the body: DuckDB's guess silently skips rows that do not fit it (measured on 2.0: a
file of three rows with one short row reads as empty). The header names the columns, every row must have them all.
"""

import csv
import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reckon.data.prepare.workspace import Workspace, literal, named, quoted
from reckon.errors import DataError
from reckon.progress import phase

CSV_SUFFIXES = {".csv": None, ".tsv": "\t", ".txt": None, ".dat": None, ".inter": "\t", ".item": "\t"}
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
PARQUET_SUFFIXES = (".parquet", ".pq")
DELIMITERS = ",\t;|"
JSON_SAMPLE = 100_000  # rows looked at to find the keys
BLOCK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class CsvStyle:
    """What a header cannot tell."""

    delimiter: str | None = None
    """None: the one of comma, tab, semicolon and bar that the header has most of."""
    names: tuple[str, ...] | None = None
    """Column names of a file that has no header."""


def relation(workspace: Workspace, path: Path, style: CsvStyle | None = None) -> str:
    """The SQL that reads a file, to stand after FROM. CSV columns are all text.

    Raises:
        DataError: the file is missing, of an unknown kind or unreadable.
    """
    if path.is_dir() and any(path.glob("**/*.parquet")):
        return f"read_parquet({literal(str(path / '**' / '*.parquet'))})"
    if not path.is_file():
        raise DataError(str(path), "does not exist", "check the path")
    suffix = _suffix(path)
    if suffix in CSV_SUFFIXES:
        return _csv(path, style or CsvStyle())
    if suffix in JSON_SUFFIXES:
        return _json(workspace, path)
    if suffix in PARQUET_SUFFIXES:
        return f"read_parquet({literal(str(path))})"
    raise DataError(
        str(path),
        f"is of an unknown kind {suffix!r}",
        "use .csv, .tsv, .jsonl, .parquet (each may be .gz), .db or a postgresql:// address",
    )


def json_relation(path: Path, columns: dict[str, str]) -> str:
    """The SQL that reads named keys of JSON objects as the given types; an absent key is null."""
    fields = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in columns.items())
    return f"read_json({literal(str(path))}, format = 'auto', records = 'true', columns = {{{fields}}})"


def columns_of(workspace: Workspace, path: Path, from_sql: str) -> dict[str, str]:
    """Column names and types of a relation that reads `path`."""
    with named(str(path)):
        return workspace.columns(from_sql)


def fingerprint(path: Path) -> dict[str, Any]:
    """Name, size and sha256 of an input file; a gzip file is unpacked on the way to see that it is whole.

    DuckDB before 2.0 took a cut-off .csv.gz for a shorter file, and no version compares the checksum inside.
    """
    if path.is_dir():
        parts = [fingerprint(part) for part in sorted(path.glob("**/*.parquet"))]
        joined = "".join(part["sha256"] for part in parts).encode()
        size = sum(part["bytes"] for part in parts)
        return {"name": path.name, "bytes": size, "sha256": hashlib.sha256(joined).hexdigest()}
    digest, size = hashlib.sha256(), path.stat().st_size
    unpacker = zlib.decompressobj(wbits=31) if path.suffix == ".gz" else None
    with path.open("rb") as file, phase(f"checking {path.name}", total=size) as running:
        while block := file.read(BLOCK):
            digest.update(block)
            running.advance(len(block))
            if unpacker is not None:
                unpacker = _unpack(unpacker, block, path)
    if unpacker is not None and not (unpacker.eof and size):
        raise DataError(str(path), "is cut off in the middle", "fetch the file again")
    return {"name": path.name, "bytes": size, "sha256": digest.hexdigest()}


def _unpack(unpacker: Any, block: bytes, path: Path) -> Any:
    """Feed a block; a gzip file may be several members one after the other."""
    try:
        while block:
            if unpacker.eof:
                if not block.strip(b"\0"):  # padding after the last member
                    break
                unpacker = zlib.decompressobj(wbits=31)
            unpacker.decompress(block)
            block = unpacker.unused_data
    except zlib.error as error:
        raise DataError(str(path), f"is not a sound gzip file ({error})", "fetch the file again") from None
    return unpacker


def _json(workspace: Workspace, path: Path) -> str:
    """Keys are found in a sample; scalars are read as text, so that no guessed type rounds or rewrites a later row."""
    with named(str(path)):
        guessed = workspace.columns(
            f"read_json({literal(str(path))}, format = 'auto', records = 'true', sample_size = {JSON_SAMPLE})"
        )
    kinds = {
        name: "VARCHAR[]" if kind.endswith("[]") and "(" not in kind else "VARCHAR" for name, kind in guessed.items()
    }
    return json_relation(path, kinds)


def _csv(path: Path, style: CsvStyle) -> str:
    names, delimiter = style.names, style.delimiter or CSV_SUFFIXES[_suffix(path)]
    if names is None or delimiter is None:
        header = _first_line(path)
        delimiter = delimiter or max(DELIMITERS, key=header.count)
        names = names or tuple(name.strip() for name in next(csv.reader([header], delimiter=delimiter), []))
    repeated = [name for name in names if names.count(name) > 1]
    if not names or repeated or "" in names:
        problem = f"has the column {repeated[0]!r} twice" if repeated else "has a header with an empty name"
        raise DataError(str(path), problem, "give every column its own name in the first line")
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    return (
        f"read_csv({literal(str(path))}, auto_detect = false, delim = {literal(delimiter)}, quote = '\"', "
        f"escape = '\"', header = {str(style.names is None).lower()}, columns = {{{columns}}})"
    )


def _first_line(path: Path) -> str:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            line = file.readline().rstrip("\n")
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(path), f"cannot be read ({error})", "fetch the file again") from None
    if not line:
        raise DataError(str(path), "is empty", "give a file with a header line and rows")
    return str(line)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
