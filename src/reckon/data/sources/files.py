"""Read one file as a DuckDB relation: CSV, JSON lines, Parquet, plain or gzipped.

Entry points: `relation` for what stands in a FROM clause, `fingerprint` for the record of an input file.

CSV dialects are not guessed from the body: DuckDB's guess silently skips rows that do not fit it (measured on 2.0: a
file of three rows with one short row reads as empty). The header names the columns, every row must have them all.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from reckon.data.prepare.workspace import Workspace, file_pattern, literal, named, quoted
from reckon.data.sources.encoding import as_json_lines, as_utf8, first_line, with_one_line_end
from reckon.data.sources.header import MOST_COLUMNS, as_typed, check_names, names_in
from reckon.errors import DataError
from reckon.files import real_path
from reckon.progress import phase

Format = Literal["csv", "tsv", "json", "parquet"]
FORMAT_OF: dict[str, Format] = {
    **dict.fromkeys((".csv", ".txt", ".dat"), "csv"),
    **dict.fromkeys((".tsv", ".inter", ".item", ".user"), "tsv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
DELIMITERS = ",\t;|"
JSON_SAMPLE = 100_000  # rows looked at to find the keys
BLOCK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class FileStyle:
    """What a file's name and header cannot tell."""

    format: Format | None = None
    """None: told by the end of the name."""
    encoding: str | None = None
    """None: UTF-8, or UTF-16 or UTF-32 with a mark at the start."""

    delimiter: str | None = None
    """None: the one of comma, tab, semicolon and bar that the header has most of."""
    names: tuple[str, ...] | None = None
    """Column names of a CSV file that has no header."""
    header: bool = True
    """Whether the first line of a CSV file names the columns. Without names they are column1, column2, …"""


def relation(workspace: Workspace, path: Path, style: FileStyle | None = None) -> str:
    """The SQL that reads a file, to stand after FROM. CSV columns are all text.

    Folders named `user_id=7` say nothing: the columns are those that are stored.

    Raises:
        DataError: the file is missing, of an unknown kind or unreadable.
    """
    style = style or FileStyle()
    real_path(path)  # refuses a name that is no text
    if path.is_dir() and (parts := sorted(path.glob("**/*.parquet"))):
        return _parquet(parts)
    if not path.is_file():
        problem = "does not exist"
        if path.exists():
            problem = "is a folder without Parquet files" if path.is_dir() else "is no file"
        raise DataError(str(path), problem, "give a file, or a folder of Parquet files")
    kind = style.format or FORMAT_OF.get(_suffix(path))
    if kind is None:
        raise DataError(
            str(path),
            f"is of an unknown kind {_suffix(path)!r}",
            "pass --format csv, tsv, json or parquet to `table`, or use a name that ends in one of these (each may be "
            ".gz), a SQLite .db or a postgresql:// address",
        )
    if kind == "parquet":
        return _parquet([path])
    readable = as_utf8(workspace, path, style.encoding)
    if kind == "json":
        return _json(workspace, as_json_lines(workspace, readable), path)
    return _csv(with_one_line_end(workspace, readable), path, style, "\t" if kind == "tsv" else None)


def tells_format(path: Path) -> bool:
    """Whether the end of a file's name says how to read it."""
    return _suffix(path) in FORMAT_OF


def json_relation(path: Path, columns: dict[str, str]) -> str:
    """The SQL that reads named keys of JSON objects as the given types; an absent key is null."""
    fields = ", ".join(f"{quoted(name)}: {literal(kind)}" for name, kind in columns.items())
    return (
        f"read_json({file_pattern(path)}, format = 'auto', records = 'true', hive_partitioning = false, "
        f"columns = {{{fields}}})"
    )


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
    with path.open("rb") as file, phase(f"checking {path.name}", total=size, unit="bytes") as running:
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


def _parquet(parts: Sequence[Path]) -> str:
    """SQL that reads Parquet files as one; a column that some of them lack is null there."""
    for part in parts:
        try:
            names = pq.read_schema(part).names
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a column's name is not UTF-8
            raise DataError(str(part), f"is not readable Parquet ({error})", "fetch the file again") from None
        check_names(names, str(part))
    return f"read_parquet([{', '.join(map(file_pattern, parts))}], hive_partitioning = false, union_by_name = true)"


def _json(workspace: Workspace, path: Path, where: Path) -> str:
    """Scalars are read as text, so that no guessed type rounds or rewrites a later row; lists stay lists.

    Kinds are told from a sample, and from all rows if a key comes first behind it.
    """
    keys = f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects({file_pattern(path)}, format = 'auto')"
    with named(str(where)):
        found = [key for (key,) in workspace.rows(f"{keys} LIMIT {MOST_COLUMNS + 1}")]
        check_names(found, str(where))
        guessed = workspace.columns(_sniffed(path, JSON_SAMPLE))
        if not set(found) <= set(guessed):
            guessed = workspace.columns(_sniffed(path, -1))
    kinds = {name: "VARCHAR[]" if kind.endswith("[]") else "VARCHAR" for name, kind in guessed.items()}
    return json_relation(path, kinds)


def _sniffed(path: Path, rows: int) -> str:
    """SQL that tells the kinds of keys, down to whether one holds a list; -1 for all rows."""
    return (
        f"read_json({file_pattern(path)}, format = 'auto', records = 'true', hive_partitioning = false, "
        f"sample_size = {rows}, maximum_depth = 2, map_inference_threshold = -1)"
    )


def _csv(path: Path, where: Path, style: FileStyle, delimiter: str | None) -> str:
    names, delimiter = style.names, as_typed(style.delimiter) or delimiter
    if names is None or delimiter is None:
        line = first_line(path)
        delimiter = delimiter or max(DELIMITERS, key=line.count)
        names = names or names_in(line, delimiter, style.header, str(where))
    check_names(names, str(where))
    columns = ", ".join(f"{quoted(name)}: 'VARCHAR'" for name in names)
    header = style.header and style.names is None
    return (
        f"read_csv({file_pattern(path)}, auto_detect = false, delim = {literal(delimiter)}, quote = '\"', "
        f"escape = '\"', header = {str(header).lower()}, columns = {{{columns}}}, hive_partitioning = false)"
    )


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""
