"""Prepare a data set: read a source, filter, order, split, write.

Entry point: `prepare`. It works in a throw-away DuckDB database beside the target, so the input may be larger than
memory, and a failure at any step leaves nothing behind.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from reckon.data.dataset import Dataset
from reckon.data.prepare.bad_rows import BAD_ROWS
from reckon.data.prepare.filters import LAST_KEYS, TIE_KEY, TIE_RULE, Filters, apply_filters
from reckon.data.prepare.relabel import relabel_items
from reckon.data.prepare.workspace import DEFAULT_MEMORY, Workspace, open_workspace, quoted
from reckon.data.prepare.write import write_dataset
from reckon.data.sources import Source
from reckon.data.splits import SPLITS, Protocol
from reckon.errors import ConfigError
from reckon.files import check_target, parents_of, put_in_place, real_path
from reckon.locks import locked
from reckon.progress import phase

UNKNOWN_ITEMS = ("error", "drop", "add")
BATCH = 100_000  # interactions written at a time; with reviews a few hundred MB


@locked()
def prepare(
    source: Source,
    out: str | Path,
    *,
    split: Protocol | None = None,
    filters: Filters | None = None,
    words: Mapping[str, str] | None = None,
    unknown_items: str | None = None,
    relabel: int | None = None,
    bad_rows: str = "error",
    memory: str = DEFAULT_MEMORY,
    overwrite: bool = False,
) -> Path:
    """Make a dataset directory from a source.

    Args:
        source: one of `reckon.data.sources`.
        out: the directory to make.
        split: `temporal`, `leave-one-out` or `given`; the source's own default if None.
        filters: what to drop; exact repeats only by default.
        words: what prompts call items and actions, over the source's own.
        unknown_items: `error`, `drop` or `add` for interactions whose item has no record.
        relabel: a seed; item ids then become random numbers (see `reckon.data.prepare.relabel`).
        bad_rows: `error`, or `drop`: rows without a usable id, time or rating are left out and counted.
        memory: what DuckDB may use, e.g. `2GB`; beyond it spills to disk beside `out`.
        overwrite: replace an existing dataset directory.

    Raises:
        ReckonError: an input or a setting is wrong; nothing is left behind.
    """
    asked, out, filters = Path(out), real_path(out), filters or Filters()
    split, unknown_items = split or source.split, unknown_items or source.unknown_items
    if unknown_items not in UNKNOWN_ITEMS:
        raise ConfigError("unknown_items", unknown_items, "is unknown", f"use one of {', '.join(UNKNOWN_ITEMS)}")
    if bad_rows not in BAD_ROWS:
        raise ConfigError("bad_rows", bad_rows, "is unknown", f"use one of {', '.join(BAD_ROWS)}")
    if (split == "given") != (source.split == "given"):
        raise ConfigError("split", split, f"the source {source.name} {_split_rule(source)}", "leave the split out")
    check_target(out, overwrite=overwrite)
    with parents_of(out), open_workspace(out, memory) as workspace:
        workspace.bad_rows = bad_rows
        record = source.load(workspace)
        workspace.count("read", _read_rule(workspace), bad_rows=workspace.dropped)
        given = workspace.has("rows")
        if given:
            _refuse_filters(filters)
        apply_filters(workspace, Filters(dedupe="none") if given else filters, unknown_items, split)
        if relabel is not None:
            relabel_items(workspace, relabel)
        written = _write(workspace, workspace.folder / "dataset", source, record, split, dict(words or {}))
        # The split is tried while nothing is in place: too little data has to fail here, not in training.
        dataset = Dataset.load(written)
        for name in SPLITS if not given else SPLITS[:1]:
            dataset.examples(name)
        put_in_place(written, out, overwrite=overwrite)
    return asked


def _write(
    workspace: Workspace, folder: Path, source: Source, record: dict[str, Any], split: Protocol, words: dict[str, str]
) -> Path:
    columns = [quoted(name) for name in workspace.columns("items") if name != "reckon_row"]
    items = workspace.table(f"SELECT {', '.join(columns)} FROM items ORDER BY item_id")
    rows = None
    if workspace.has("rows"):
        rows = workspace.table("SELECT split, user_id, history, item_id FROM rows ORDER BY split DESC, reckon_row")
    with phase("writing"):
        return write_dataset(
            folder,
            items,
            _ordered_interactions(workspace),
            rows=rows,
            source={"name": source.name, **record},
            split=split,
            words={**source.words, **words},
            counts=workspace.counts,
            notes=workspace.notes,
            tie_rule=TIE_RULE,
            rating_scale=source.scale,
        )


def _ordered_interactions(workspace: Workspace) -> pa.RecordBatchReader:
    """Every user's events in their order, with the tie rule applied; seconds, ratings and reviews as they are."""
    found = workspace.columns("interactions")
    kept = ["user_id", "item_id"]
    kept += ["moment // 1000000 AS timestamp"] if workspace.timed else []
    kept += ["CAST(rating AS FLOAT) AS rating"] if "rating" in found else []
    kept += [name for name in ("summary", "review") if name in found]
    order = ", ".join(["user_id", "moment", TIE_KEY, *(key for name, key in LAST_KEYS.items() if name in found)])
    query = f"SELECT {', '.join(kept)} FROM interactions ORDER BY {order}"
    return workspace.db.sql(query).to_arrow_reader(BATCH)


def _read_rule(workspace: Workspace) -> str:
    dropped = sum(workspace.dropped.values())
    return f"rows of the source; {dropped:,} bad ones were dropped" if dropped else "all rows of the source"


def _split_rule(source: Source) -> str:
    return "brings its own rows" if source.split == "given" else "has no given rows"


def _refuse_filters(filters: Filters) -> None:
    if filters not in (Filters(), Filters(dedupe="none")):
        raise ConfigError("filters", filters, "given rows are evaluated as they are given", "leave the filters out")
