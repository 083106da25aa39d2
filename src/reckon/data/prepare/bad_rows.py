"""What becomes of rows that cannot be used: the first one is an error, or all are dropped and counted.

Entry point: `refuse`, called for every rule on a column. The policy is the workspace's `bad_rows`.
"""

from typing import Literal

from reckon.data.prepare.workspace import Workspace
from reckon.errors import DataError
from reckon.messages import cut

BadRows = Literal["error", "drop"]
BAD_ROWS: tuple[BadRows, ...] = ("error", "drop")
LONGEST_VALUE = 60  # characters of a bad value that are shown


def refuse(workspace: Workspace, table: str, condition: str, column: str, where: str, problem: str, fix: str) -> None:
    """Refuse the first row of `table` that fulfils `condition`, or drop and count all of them.

    Args:
        table: a table with a `reckon_row` column to name a bad row by.
        column: SQL of the value that is shown.
        where: file and field, for messages.

    Raises:
        DataError: there is such a row and the policy is `error`; it states their number and share.
    """
    bad, total = workspace.row(f"SELECT count(*) FILTER (WHERE {condition}), count(*) FROM {table}")
    if not bad:
        return
    if workspace.bad_rows == "drop":
        workspace.run(f"DELETE FROM {table} WHERE {condition}", doing="dropping bad rows")
        reason = f"{where}: {problem}"
        workspace.dropped[reason] = workspace.dropped.get(reason, 0) + bad
        workspace.note(f"{bad:,} of {total:,} rows ({bad / total:.1%}) were dropped: {where}, {problem}")
        return
    line, value = workspace.row(
        f"SELECT reckon_row, CAST({column} AS VARCHAR) FROM {table} WHERE {condition} ORDER BY reckon_row LIMIT 1"
    )
    shown = "empty" if value is None or value.strip() == "" else repr(cut(value, LONGEST_VALUE))
    raise DataError(
        f"{where}, row {line}",
        f"{shown} {problem} ({bad:,} of {total:,} rows, {bad / total:.1%})",
        f"{fix}, or pass --bad-rows drop",
    )
