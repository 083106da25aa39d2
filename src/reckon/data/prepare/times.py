"""Turn a column of times in any usual form into microseconds since 1970, or say which row cannot be read.

Entry points: `moment_sql`; `refuse_rounded`, for times that their type has rounded. A column is read as one thing:
numbers of one unit, or dates as text. Times are ordered by their full precision; the data set then stores whole
seconds.
"""

from typing import Literal

import duckdb

from reckon.data.prepare.bad_rows import refuse
from reckon.data.prepare.workspace import Workspace, duckdb_says, literal
from reckon.errors import ConfigError, DataError

TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
TIME_UNITS: tuple[TimeUnit, ...] = ("auto", "s", "ms", "us", "ns")
MICROSECONDS = {"s": "1000000", "ms": "1000", "us": "1", "ns": "0.001"}  # per unit, as exact SQL decimals
SMALLEST = {"ms": 1e11, "us": 1e14, "ns": 1e17}  # 1973 in that unit; as the next larger unit it would be year 5138
EARLIEST_SECONDS = 1e8  # March 1973: a column that ends before is a row number, a year or a date like 20140315
# Forms that can be read in one way only; of 05/06/2017 nobody knows whether it is in May.
FORMATS = (
    "%a %b %d %H:%M:%S %z %Y",
    "%a %b %d %H:%M:%S %Y",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d %b %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%B %d, %Y",
)
EXACT_FLOAT32 = 2**24  # whole numbers up to it have a float32 of their own; of today's seconds, only every 128th has
DAY = 86_400  # seconds; midnights are exact in float32, so that their ties are true ones
LATEST = 7_258_118_400  # 2200-01-01 in seconds: beyond it the unit is wrong


def moment_sql(
    workspace: Workspace, table: str, column: str, where: str, unit: TimeUnit = "auto", form: str | None = None
) -> str:
    """The SQL expression that turns `table.column` into microseconds since 1970 (BIGINT).

    Args:
        table: a table with a `reckon_row` column to name a bad row by.
        where: file and field, for messages.
        unit: of numbers; `auto` tells it from their size.
        form: how dates are written, as for `strptime`, e.g. `%d/%m/%Y`; None: ISO, or one of FORMATS.

    Raises:
        ConfigError: `form` is no format.
        DataError: a row is empty, cannot be read, lies before 1970 or after 2200, or units are mixed.
    """
    kind = workspace.columns(table)[column]
    if form is not None:
        expression = _formatted(workspace, f"CAST({column} AS VARCHAR)", form)
    elif kind == "DATE" or kind.startswith("TIMESTAMP"):
        expression = f"epoch_us({column})"
    elif kind == "VARCHAR" and _is_text(workspace, table, column):
        expression = _dates(workspace, table, column)
    else:
        number = f"TRY_CAST({column} AS DOUBLE)"
        if kind == "VARCHAR":
            date = f"{number} IS NULL AND TRY_CAST({column} AS TIMESTAMPTZ) IS NOT NULL"
            _refuse_mixed(workspace, table, column, where, date, "date", "numbers")
        refuse(
            workspace,
            table,
            f"{number} IS NULL OR NOT isfinite({number})",
            column,
            where,
            "is not a time",
            "give seconds since 1970, or dates such as 2024-05-31 or 2024-05-31T18:00:00Z",
        )
        refuse(workspace, table, f"{number} < 0", column, where, "is before 1970", "correct or remove the row")
        if unit == "auto":
            unit = _guess_unit(workspace, table, column, where)
        # Decimals, because a double cannot hold nanoseconds: events of one user would fall together.
        expression = f"CAST(floor(TRY_CAST({column} AS DECIMAL(26, 6)) * {MICROSECONDS[unit]}) AS BIGINT)"
        limit = LATEST * 1e6 / float(MICROSECONDS[unit])
        refuse(
            workspace,
            table,
            f"{number} > {limit}",
            column,
            where,
            f"is after the year 2200 in unit {unit}",
            "pass the right unit with --time-unit, or correct the row",
        )
        return expression
    if kind == "VARCHAR" and form is None:
        number = f"isfinite(TRY_CAST({column} AS DOUBLE))"
        _refuse_mixed(workspace, table, column, where, f"{expression} IS NULL AND {number}", "number", "dates")
    refuse(
        workspace,
        table,
        f"{expression} IS NULL",
        column,
        where,
        "is not a time",
        "write dates such as 2024-05-31 or 2024-05-31T18:00:00Z, all of them, or pass --time-format",
    )
    refuse(workspace, table, f"{expression} < 0", column, where, "is before 1970", "correct or remove the row")
    refuse(
        workspace,
        table,
        f"{expression} > {LATEST * 1_000_000}",
        column,
        where,
        "is after the year 2200",
        "correct or remove the row",
    )
    return expression


def refuse_rounded(workspace: Workspace, table: str, user: str, column: str, where: str) -> None:
    """Refuse times in float32 that gave two events of one user the same time: their order is lost.

    Raises:
        DataError: two rows of a user have the same rounded time.
    """
    if workspace.columns(table)[column] != "FLOAT":
        return
    value = f"CAST({column} AS DOUBLE)"
    tied, first = workspace.row(
        f"SELECT coalesce(sum(rows), 0), min(line) FROM (SELECT count(*) AS rows, min(reckon_row) AS line FROM {table} "
        f"WHERE {value} > {EXACT_FLOAT32} AND isfinite({value}) AND {value} % {DAY} <> 0 "
        f"GROUP BY {user}, {column} HAVING count(*) > 1)"
    )
    if tied:
        raise DataError(
            f"{where}, row {first}",
            f"is float32, which rounds times: {tied:,} rows share their user's time, so their order is lost",
            "write the column again from its source as int64 or timestamp, or map position=COLUMN",
        )


def _refuse_mixed(
    workspace: Workspace, table: str, column: str, where: str, condition: str, one: str, others: str
) -> None:
    """Refuse times of a form that others of the column do not have; each by itself would be readable."""
    refuse(
        workspace,
        table,
        f"coalesce({condition}, false)",
        column,
        where,
        f"is a {one}, and the column begins with {others}",
        "write all times in one form, numbers or dates",
    )


def _is_text(workspace: Workspace, table: str, column: str) -> bool:
    """Whether the first non-empty value is no number: the rest is then held to the same form."""
    first = workspace.rows(
        f"SELECT TRY_CAST({column} AS DOUBLE) IS NULL FROM {table} WHERE trim({column}) <> '' "
        "ORDER BY reckon_row LIMIT 1"
    )
    return bool(first and first[0][0])


def _dates(workspace: Workspace, table: str, column: str) -> str:
    """SQL of dates as text, in the form of the first of them."""
    iso = f"epoch_us(TRY_CAST({column} AS TIMESTAMPTZ))"
    first = f"(SELECT {column} FROM {table} WHERE trim({column}) <> '' ORDER BY reckon_row LIMIT 1) AS sample({column})"
    for form in FORMATS:
        as_written = _formatted(workspace, column, form)
        if workspace.row(f"SELECT {iso} IS NULL AND {as_written} IS NOT NULL FROM {first}")[0]:
            return as_written
    return iso


def _formatted(workspace: Workspace, column: str, form: str) -> str:
    """SQL of text in a `strptime` form as microseconds."""
    try:
        workspace.rows(f"SELECT try_strptime('x', {literal(form)})")
    except duckdb.Error as error:
        raise ConfigError("--time-format", form, duckdb_says(error), "write it as %d/%m/%Y %H:%M:%S") from None
    return f"epoch_us(try_strptime(trim({column}), {literal(form)}))"


def _guess_unit(workspace: Workspace, table: str, column: str, where: str) -> Literal["s", "ms", "us", "ns"]:
    low, high = workspace.row(
        f"SELECT min(TRY_CAST({column} AS DOUBLE)), max(TRY_CAST({column} AS DOUBLE)) FROM {table}"
    )
    if high is None:
        return "s"  # every row was dropped
    if high < EARLIEST_SECONDS:
        raise DataError(
            where,
            f"ends at {high:.0f}, which as seconds is before 1973",
            "map a row number as position, write dates as 2014-03-15, or pass --time-unit s if right",
        )
    unit = _unit_of(high)
    if _unit_of(low) != unit:
        line, value = workspace.row(
            f"SELECT reckon_row, {column} FROM {table} WHERE TRY_CAST({column} AS DOUBLE) < {SMALLEST[unit]} "
            "ORDER BY reckon_row LIMIT 1"
        )
        raise DataError(
            f"{where}, row {line}",
            f"{value} is too small for the unit {unit} that other rows have",
            f"bring all rows to one unit, or pass --time-unit {unit} if it is right",
        )
    return unit


def _unit_of(value: float) -> Literal["s", "ms", "us", "ns"]:
    if value >= SMALLEST["ns"]:
        return "ns"
    if value >= SMALLEST["us"]:
        return "us"
    return "ms" if value >= SMALLEST["ms"] else "s"
