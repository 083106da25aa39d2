"""Bring a text file to what DuckDB reads: UTF-8, and JSON lines instead of Python literals.

Entry points: `as_utf8`, `as_json_lines`. Both return the path itself where nothing is to be done, else a copy in the
workspace, which is thrown away with it.
"""

import ast
import codecs
import gzip
import io
import json
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from reckon.data.prepare.workspace import Workspace
from reckon.errors import ConfigError, DataError, of_the_system
from reckon.progress import phase

# The mark of UTF-32 begins with that of UTF-16, so it is looked for first.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE = 4096  # bytes looked at
BLOCK = 1 << 20  # characters
NOT_UTF8 = "pass --encoding latin-1 (cp1252, utf-16-le, …) if it is in that, or save the file as UTF-8"


def as_utf8(workspace: Workspace, path: Path, encoding: str | None) -> Path:
    """The file in UTF-8: itself, or a copy of what is in another encoding.

    Args:
        encoding: a name that Python knows; None: told by the mark at the start of the file, UTF-8 without one.

    Raises:
        ConfigError: an unknown encoding.
        DataError: the file is not in the encoding given, or holds zero bytes and no mark.
    """
    if encoding is not None:
        try:
            "".encode(encoding)
        except (LookupError, ValueError):
            raise ConfigError("--encoding", encoding, "is unknown", "use e.g. latin-1, cp1252 or utf-16") from None
    with _readable(path), _opened(path) as file:
        sample = file.read(SAMPLE)
    if encoding is None:
        encoding = next((name for mark, name in MARKS if sample.startswith(mark)), None)
        if encoding is not None:
            workspace.note(f"{path.name} is {encoding.upper()} and was read as such")
        elif b"\0" in sample:
            raise DataError(str(path), "holds zero bytes, as UTF-16 without a mark at its start has them", NOT_UTF8)
    if encoding is None or codecs.lookup(encoding).name == "utf-8":
        return path
    target = _copy_of(workspace, path)
    try:
        with (
            _readable(path),
            _opened(path) as raw,
            codecs.getreader(encoding)(raw) as reader,
            target.open("w", encoding="utf-8", newline="") as copy,
            phase(f"reading {path.name} as {encoding}"),
        ):
            while text := reader.read(BLOCK):
                copy.write(text)
    except UnicodeError as error:
        raise DataError(str(path), f"is not in {encoding} ({error})", "name the encoding with --encoding") from None
    return target


def as_json_lines(workspace: Workspace, path: Path) -> Path:
    """The file as JSON: itself, or a copy of a file with one Python literal a line, as older review sets have it.

    Nothing is executed: `ast.literal_eval` reads strings, numbers, lists and dicts alone.

    Raises:
        DataError: a later line is neither a literal nor JSON.
    """
    with _readable(path), _lines(path) as lines:
        first = next((line for line in lines if line.strip()), "")
    if not first.lstrip().startswith("{") or _from_json(first) is not None or _from_literal(first) is None:
        return path
    target = _copy_of(workspace, path)
    with (
        _readable(path),
        _lines(path) as lines,
        target.open("w", encoding="utf-8") as copy,
        phase(f"reading {path.name}"),
    ):
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            record = _from_literal(line) or _from_json(line)
            try:
                copy.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")
            except (TypeError, ValueError, RecursionError):  # keys that are no names, halves of characters, depth
                record = None
            if record is None:
                raise DataError(f"{path}, row {number}", "is neither a Python literal nor JSON", "correct that row")
    workspace.note(f"{path.name} holds a Python literal a line, which was read as such")
    return target


def with_one_line_end(workspace: Workspace, path: Path) -> Path:
    """The CSV file itself, or a copy of one that mixes the line ends of several systems, which DuckDB does not read."""
    ends = _line_ends(path)
    if len(ends) < 2:
        return path
    target = _copy_of(workspace, path)
    with (
        _readable(path),
        io.TextIOWrapper(_opened(path), encoding="utf-8", errors="surrogateescape", newline=None) as lines,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as copy,
        phase(f"reading {path.name}"),
    ):
        while text := lines.read(BLOCK):
            copy.write(text)
    workspace.note(f"{path.name} mixes line ends ({', '.join(ends)}), which were made one")
    return target


def _line_ends(path: Path) -> list[str]:
    """Which of CR LF, LF and CR occur in a file, counted block by block."""
    pairs = feeds = returns = 0
    before = b""
    with _readable(path), _opened(path) as file:
        while block := file.read(BLOCK):
            pairs += block.count(b"\r\n") + (before == b"\r" and block.startswith(b"\n"))
            feeds += block.count(b"\n")
            returns += block.count(b"\r")
            before = block[-1:]
    counts = {"CR LF": pairs, "LF": feeds - pairs, "CR": returns - pairs}
    return [name for name, count in counts.items() if count]


def first_line(path: Path) -> str:
    """The first line of a UTF-8 file, without its mark and its end.

    Raises:
        DataError: the file is empty, cannot be read, or has a first line that is not UTF-8.
    """
    with _readable(path), _lines(path) as lines:
        line = lines.readline().rstrip("\r\n")
    if not line:
        raise DataError(str(path), "is empty", "give a file with a header line and rows")
    if "\N{REPLACEMENT CHARACTER}" in line:
        raise DataError(str(path), "is not UTF-8, as its first line shows", NOT_UTF8)
    return line


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(path: Path) -> IO[str]:
    return io.TextIOWrapper(_opened(path), encoding="utf-8-sig", errors="replace")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what a damaged file raises while it is read into one line that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        if (refusal := of_the_system(error)) is not None:
            raise refusal from None
        raise DataError(str(path), f"cannot be read ({error})", "fetch the file again") from None


def _copy_of(workspace: Workspace, path: Path) -> Path:
    """A new name in the workspace with the file's suffix."""
    folder = workspace.folder / "copies"
    folder.mkdir(exist_ok=True)
    name = path.name[: -len(".gz")] if path.suffix.lower() == ".gz" else path.name
    return folder / f"{len(list(folder.iterdir()))}-{name}"


def _from_json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _from_literal(line: str) -> dict[str, Any] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of `'\d'`, which is somebody else's spelling
            value = ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None
    return value if isinstance(value, dict) else None
