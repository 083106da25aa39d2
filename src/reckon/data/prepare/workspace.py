"""The place where a data set is prepared: a DuckDB database on disk, thrown away afterwards.

Entry point: `open_workspace`. Sources fill its tables `items`, `interactions` and, for given rows, `rows`; filters
shrink them; `reckon.data.prepare.prepare` orders and writes them. DuckDB spills to disk beyond its memory limit, so
inputs may be larger than memory.

    items         item_id, title, further columns; `reckon_row` is the row of the input
    interactions  user_id, item_id, moment (microseconds since 1970, or a position), rating?, summary?, review?,
                  reckon_row
    rows          split, user_id, history, item_id, reckon_row
"""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from duckdb import func

from reckon.data.prepare.clean import clean_array
from reckon.data.prepare.prices import price_array
from reckon.errors import DataError, ReckonError, of_the_system
from reckon.messages import one_line
from reckon.progress import phase

DEFAULT_MEMORY = "2GB"
# Where DuckDB found no JSON. It counts the first line as 2; blank lines are not counted.
MALFORMED_JSON = re.compile(r"(?<=\d )in (?:line|record/value) (?P<number>\d+):")
BLANKS = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000\u200b\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)


class Workspace:
    """A DuckDB connection, and what is known of the tables in it."""

    def __init__(self, folder: Path, memory: str) -> None:
        self.folder = folder
        self.timed = False
        """`interactions.moment` is a time, not just a position."""
        self.origin = "interactions"
        """Where the interactions come from, for messages about their rows."""
        self.counts: list[dict[str, Any]] = []
        """What every step left over, oldest first."""
        self.notes: list[str] = []
        """What the user should know of the input; shown at the end and kept in the manifest."""
        self.bad_rows = "error"
        """`error` or `drop`, see `reckon.data.prepare.bad_rows`."""
        self.dropped: dict[str, int] = {}
        """Rows dropped as unusable, by reason."""
        try:
            self.db = duckdb.connect(
                str(folder / "work.duckdb"),
                config={
                    "memory_limit": memory,
                    "temp_directory": str(folder / "spill"),
                    "autoinstall_known_extensions": "false",  # nothing is fetched behind the user's back
                },
            )
        except duckdb.Error as error:
            raise DataError(f"memory {memory!r}", duckdb_says(error), "give a size such as 2GB") from None
        self.db.execute("SET enable_progress_bar = true")  # measured for `phase`, which draws it
        self.db.execute("SET enable_progress_bar_print = false")
        self.db.execute("SET TimeZone = 'UTC'")  # of dates that name no zone
        # An id means the same with blanks at its ends; `u1 ` and `u1` were two users otherwise.
        self.db.execute(f"CREATE MACRO strip_id(id) AS trim(CAST(id AS VARCHAR), {literal(BLANKS)})")
        for name, function, taken, kind in (
            ("clean", clean_array, "VARCHAR", "VARCHAR"),
            ("clean_list", clean_array, "VARCHAR[]", "VARCHAR[]"),
            ("price_of", price_array, "VARCHAR", "DOUBLE"),
        ):
            self.db.create_function(
                name,
                function,
                [taken],
                kind,
                type=func.PythonUDFType.ARROW,
                null_handling=func.FunctionNullHandling.SPECIAL,
            )

    def run(self, sql: str, parameters: Sequence[Any] = (), *, doing: str, where: str | None = None) -> None:
        """Execute a statement under a progress bar.

        Args:
            doing: what it does, for the bar.
            where: the input it reads: an error of DuckDB then becomes a DataError that names it.
        """
        with phase(doing, share=self.db.query_progress), named(where):
            self.db.execute(sql, parameters)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        return self.db.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The first row of a result that has one."""
        return self.rows(sql, parameters)[0]

    def table(self, sql: str) -> pa.Table:
        """A result as an Arrow table."""
        return self.db.sql(sql).to_arrow_table()

    def columns(self, relation: str) -> dict[str, str]:
        """Column names of a table, view or table function, with their DuckDB types."""
        return {name: kind for name, kind, *_ in self.rows(f"DESCRIBE SELECT * FROM {relation}")}

    def has(self, table: str) -> bool:
        """Whether a table is there."""
        return bool(self.rows("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [table]))

    def note(self, text: str) -> None:
        """Tell the user something of the input, once."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, step: str, rule: str, **extra: Any) -> None:
        """Record what is left after a step, and how much it removed."""
        users, seen, interactions = self.row(
            "SELECT count(DISTINCT user_id), count(DISTINCT item_id), count(*) FROM interactions"
        )
        (items,) = self.row("SELECT count(*) FROM items")
        record = {
            "step": step,
            "rule": rule,
            "users": users,
            "items": items,
            "items_with_interactions": seen,
            "interactions": interactions,
        }
        if self.counts:
            before = self.counts[-1]
            record |= {f"removed_{name}": before[name] - record[name] for name in ("users", "items", "interactions")}
        self.counts.append(record | extra)


@contextmanager
def open_workspace(beside: Path, memory: str = DEFAULT_MEMORY) -> Iterator[Workspace]:
    """A workspace in a hidden folder beside `beside`, on the disk that has to hold the result anyway."""
    with tempfile.TemporaryDirectory(prefix=f".{beside.name}.", suffix=".work", dir=beside.parent) as folder:
        workspace = Workspace(Path(folder), memory)
        try:
            yield workspace
        except duckdb.OutOfMemoryException as error:
            fix = "allow more with --memory, e.g. --memory 8GB"
            raise DataError("preparing the data", duckdb_says(error), fix) from None
        except ReckonError:
            raise
        except Exception as error:
            # Ctrl-C comes out of DuckDB as an error of what it was doing: RuntimeError, or one of a user function.
            if "Query interrupted" in str(error) or "KeyboardInterrupt" in str(error):
                raise KeyboardInterrupt from None
            raise
        finally:
            workspace.db.close()


@contextmanager
def named(where: str | None) -> Iterator[None]:
    """Turn an error of DuckDB while it reads an input into one line that names the input."""
    try:
        yield
    except (duckdb.OutOfMemoryException, ReckonError):
        raise
    except duckdb.Error as error:
        if where is None or "executing the UDF" in str(error):  # our own function failed, or was interrupted
            raise
        if (refusal := of_the_system(error)) is not None:
            raise refusal from None
        raise DataError(where, duckdb_says(error), _fix(str(error))) from None


def duckdb_says(error: Exception) -> str:
    """The telling part of a DuckDB message, on one line."""
    text = re.split(r"\n\s*(?:Possible|LINE \d+:|file ?=|Try setting|Candidate)", str(error))[0]
    text = MALFORMED_JSON.sub(lambda found: f"of row {int(found['number']) - 1}:", text)
    return one_line(re.sub(r"^(?:[A-Z]\w+ )+Error:", "", text)).rstrip(".")


def _fix(message: str) -> str:
    if "GZIP" in message:
        return "the file is cut off or damaged: fetch it again"
    if "unicode" in message or "utf-8" in message.lower():
        return "pass --encoding latin-1 (cp1252, …) to `table` if it is in that, or save the file as UTF-8"
    return "correct that row, or save the file again"


def quoted(name: str) -> str:
    """A column or table name for SQL."""
    return '"' + name.replace('"', '""') + '"'


def file_pattern(path: Path) -> str:
    """A path for SQL that names this file alone: DuckDB takes `[`, `*` and `?` of a name for a pattern."""
    return literal(re.sub(r"([\[*?])", r"[\1]", str(path)))


def literal(text: str) -> str:
    """A string for SQL, where a parameter cannot stand."""
    return "'" + text.replace("'", "''") + "'"
