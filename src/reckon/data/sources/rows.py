"""Given next-item rows: an item table, known interactions, and validation and test rows with their own histories.

Entry point: `Rows`, on a folder with (each .parquet, .jsonl or .csv)

    items           item_id, title, further columns
    interactions    user_id, item_id, position or timestamp, origin?
    valid, test     user_id, history_item_id (a list, oldest first), item_id (the target)

Only interactions of origin `history` are training data. The others are the targets of the rows, and histories inside
test rows hold validation targets; training on either would be training on the answers.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reckon.data.prepare.workspace import Workspace, named, quoted
from reckon.data.scale import Scale
from reckon.data.sources.aggregates import left_out
from reckon.data.sources.files import columns_of, fingerprint, relation
from reckon.data.sources.load import store_interactions, store_items
from reckon.data.splits import Protocol
from reckon.errors import DataError
from reckon.messages import listed

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
HISTORY = "history_item_id"
MOST_TARGETS = 0.5  # share of a split's targets among a user's training items, above which they were not held out
BAD_ROWS = {
    "user_id IS NULL OR item_id IS NULL": "has no user or no target",
    "history IS NULL OR len(history) = 0": "has an empty history",
    "list_count(history) < len(history)": "has an empty id in its history",
}


@dataclass(frozen=True)
class Rows:
    """A folder of given rows."""

    path: Path
    without_test: bool = False
    """Prepare even if there is no file of test rows; the data set then has validation rows only."""
    keep: tuple[str, ...] = ()
    """Item columns kept although they may count events of the test period (`reckon.data.sources.aggregates`)."""
    name: str = "rows"
    words: dict[str, str] = field(default_factory=lambda: {"item": "item", "items": "items", "action": "bought"})
    split: Protocol = "given"
    unknown_items: str = "error"
    scale: Scale | None = None

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Read items, training interactions and rows; see `Source.load`."""
        items, interactions, valid = (self._file(name) for name in ("items", "interactions", "valid"))
        test = self._find("test")
        if test is None and not self.without_test:
            raise DataError(
                str(self.path / "test.parquet"),
                "does not exist, so there is nothing to test on",
                "add the file, or pass --without-test to prepare validation rows only",
            )
        self._items(workspace, items)
        record = self._interactions(workspace, interactions)
        columns = "split VARCHAR, reckon_row BIGINT, user_id VARCHAR, history VARCHAR[], item_id VARCHAR"
        workspace.run(f"CREATE TABLE rows ({columns})", doing="reading rows")
        for split, path in (("valid", valid), ("test", test)):
            if path is not None:
                self._rows(workspace, path, split)
        self._refuse_leak(workspace, interactions)
        files = [path for path in (items, interactions, valid, test) if path is not None]
        return record | {"files": [fingerprint(path) for path in files]}

    def _find(self, name: str) -> Path | None:
        return next((path for suffix in SUFFIXES if (path := self.path / f"{name}{suffix}").exists()), None)

    def _file(self, name: str) -> Path:
        path = self._find(name)
        if path is None:
            raise DataError(
                str(self.path / f"{name}.parquet"),
                "does not exist",
                "name a folder with items, interactions, valid and test",
            )
        return path

    def _items(self, workspace: Workspace, path: Path) -> None:
        sql = relation(workspace, path)
        found = columns_of(workspace, path, sql)
        _require(found, ("item_id", "title"), path)
        gone = left_out(workspace, found, self.keep, str(path))
        names = [name for name in ("item_id", "title", *found) if name not in gone]
        store_items(workspace, sql, {name: quoted(name) for name in names}, str(path))

    def _interactions(self, workspace: Workspace, path: Path) -> dict[str, Any]:
        sql = relation(workspace, path)
        found = columns_of(workspace, path, sql)
        _require(found, ("user_id", "item_id"), path)
        order = "timestamp" if "timestamp" in found else "position"
        columns = {name: quoted(name) for name in ("user_id", "item_id", order, "rating") if name in found}
        left_out: dict[str, int] = {}
        if "origin" in found:
            with named(str(path)):
                left_out = dict(
                    workspace.rows(
                        f"SELECT coalesce(origin, 'null'), count(*) FROM {sql} WHERE origin IS DISTINCT FROM 'history' "
                        "GROUP BY ALL ORDER BY ALL"
                    )
                )
            sql = f"(SELECT * FROM {sql} WHERE origin = 'history')"
        store_interactions(workspace, sql, columns, str(path))
        return {
            "training": "interactions of origin history" if "origin" in found else "all interactions",
            "left_out_by_origin": left_out,
        }

    def _rows(self, workspace: Workspace, path: Path, split: str) -> None:
        sql = relation(workspace, path)
        found = columns_of(workspace, path, sql)
        _require(found, ("user_id", HISTORY, "item_id"), path)
        if not found[HISTORY].endswith("[]"):
            raise DataError(
                f"{path}, field {HISTORY}",
                f"is {found[HISTORY].lower()}, not a list",
                "store histories as lists, in Parquet or JSON lines",
            )
        workspace.run(
            f"""INSERT INTO rows SELECT '{split}', row_number() OVER (), nullif(strip_id(user_id), ''),
            [nullif(strip_id(id), '') for id in CAST({HISTORY} AS VARCHAR[])], nullif(strip_id(item_id), '')
            FROM {sql}""",
            doing=f"reading {split} rows",
            where=str(path),
        )
        for condition, problem in BAD_ROWS.items():
            _refuse(
                workspace,
                split,
                path,
                f"SELECT reckon_row FROM rows WHERE split = '{split}' AND ({condition})",
                problem,
            )
        for field_name, ids in (("item_id", "item_id"), (HISTORY, "unnest(history)")):
            unknown = (
                f"SELECT reckon_row, id FROM (SELECT reckon_row, {ids} AS id FROM rows WHERE split = '{split}') "
                "WHERE id NOT IN (SELECT item_id FROM items)"
            )
            bad = workspace.rows(f"{unknown} ORDER BY reckon_row LIMIT 1")
            if bad:
                raise DataError(
                    f"{path}, row {bad[0][0]}, field {field_name}",
                    f"item_id {bad[0][1]!r} is not among the items",
                    "add the item, or remove the row",
                )

    def _refuse_leak(self, workspace: Workspace, path: Path) -> None:
        """Judge each split by itself: of the targets that are no repeats of their history, most in training is a leak.

        Repeats say nothing, since their item is rightly among the user's training items.
        """
        for split, share in workspace.rows(
            """SELECT split, avg(CAST((user_id, item_id) IN (SELECT (user_id, item_id) FROM interactions) AS INT))
            FROM rows WHERE NOT list_contains(history, item_id) GROUP BY split ORDER BY split"""
        ):
            if share > MOST_TARGETS:
                raise DataError(
                    str(path),
                    f"holds {share:.0%} of the targets of the {split} rows, so training would see the answers",
                    "add a column origin with 'history' for what came before the rows, or remove the rest",
                )


def _require(found: dict[str, str], columns: tuple[str, ...], path: Path) -> None:
    for name in columns:
        if name not in found:
            raise DataError(str(path), f"has no column {name!r}", f"rename one of {listed(found)}")


def _refuse(workspace: Workspace, split: str, path: Path, query: str, problem: str) -> None:
    bad = workspace.rows(f"{query} ORDER BY reckon_row LIMIT 1")
    if bad:
        raise DataError(f"{path}, row {bad[0][0]}", problem, f"correct or remove the {split} row")
