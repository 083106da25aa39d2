"""Write a dataset directory in one step: either the whole directory is there afterwards, or nothing is.

Entry point: `write_dataset`. Everything is written into a hidden sibling of the target (`reckon.files.new_directory`).
The tables are checked on the way, so a directory that exists can be loaded.

Items are stored in the order of the md5 of their ids. An item index is a row of that file, and ids often tell when an
item first appeared; a tie between scores broken by index would then leak time or popularity.

Does not know where the tables come from, and filters nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import reckon
from reckon.checksums import write_checksums
from reckon.data.scale import DECIMALS, Scale
from reckon.data.splits import Protocol
from reckon.errors import DataError
from reckon.files import file_sha256, new_directory, real_path
from reckon.locks import locked
from reckon.messages import listed

FORMAT = 1  # raised when a reader of the old layout could no longer read the new one
WORD_KEYS = ("item", "items", "action")
GIVEN_SPLITS = ("valid", "test")
DATA_FILES = ("items.parquet", "interactions.parquet", "rows.parquet")  # in the order of the checksum


@locked()
def write_dataset(
    out: str | Path,
    items: pa.Table,
    interactions: pa.Table | pa.RecordBatchReader,
    *,
    rows: pa.Table | None = None,
    source: Mapping[str, Any],
    split: Protocol,
    words: Mapping[str, str],
    counts: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    tie_rule: str,
    rating_scale: Scale | None = None,
    extra: Mapping[str, pa.Table] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write items, interactions, given rows and the manifest to a new directory.

    Args:
        out: the directory to make. It may exist if it is empty, or if it is a dataset and `overwrite` is set.
        items: `item_id`, `title` and further columns in the order in which they appear in prompts.
        interactions: `user_id`, `item_id`, `timestamp` (seconds since 1970) or none, optional `rating`, `summary`
            (a review's headline) and `review` (its body); each user's in the order of events. A reader is written
            batch by batch, so it need not fit in memory.
        rows: given evaluation rows `split` (valid, test), `user_id`, `history` (list of item ids), `item_id`.
        source: how the data came about: name and settings, as JSON.
        split: `temporal`, `leave-one-out`, or `given` (exactly when there are rows).
        words: what prompts call things: `item`, `items`, `action`.
        counts: one record per step of the preparation (see `reckon.data.prepare.filters`).
        notes: what the user should know of the input, a sentence each.
        tie_rule: a sentence on how events of one user at one time were ordered.
        rating_scale: of the ratings, where they do not tell it; None: `Scale.of_ratings` of them all.
        extra: further tables, written as NAME.parquet. Not part of the checksum of the data.
        overwrite: replace an existing dataset directory.

    Returns:
        `out` as a Path.

    Raises:
        DataError: `out` is in the way, or a table breaks a rule above. Nothing is left behind then.
    """
    given, out = Path(out), real_path(out)
    _check_words(words)
    _check_split(split, rows)
    with new_directory(out, overwrite=overwrite) as folder:
        totals = _write_tables(folder, items, interactions, rows, extra or {})
        scale, scale_notes = _rating_scale(folder / "interactions.parquet", rating_scale)
        manifest = {
            "format": FORMAT,
            "reckon": reckon.__version__,
            "source": dict(source),
            "split": split,
            "words": dict(words),
            "tie_rule": tie_rule,
            "item_order": "md5 of item_id",
            "rating_scale": scale,
            "totals": totals,
            "counts": [dict(count) for count in counts],
            "notes": [*notes, *scale_notes],
            **_fingerprint(folder),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (folder / "dataset.json").write_text(text + "\n", encoding="utf-8")
        write_checksums(folder)
    return given


def _write_tables(
    folder: Path,
    items: pa.Table,
    interactions: pa.Table | pa.RecordBatchReader,
    rows: pa.Table | None,
    extra: Mapping[str, pa.Table],
) -> dict[str, Any]:
    """Check and write every table; return the totals for the manifest."""
    items = _write_items(items, folder / "items.parquet")
    known = items["item_id"].combine_chunks()
    totals: dict[str, Any] = {"items": items.num_rows}
    totals |= _write_interactions(interactions, known, folder / "interactions.parquet")
    if rows is not None:
        totals["rows"] = _write_rows(rows, known, folder / "rows.parquet")
    for name, table in extra.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return totals


def _write_items(items: pa.Table, path: Path) -> pa.Table:
    _require(items, "items", ("item_id", "title"))
    items = _ids_as_strings(items, "items", ("item_id",))
    ids: list[str] = items["item_id"].to_pylist()
    if not ids:
        raise DataError("items", "there are none", "loosen the filters, or check the column mapping")
    counts = pc.value_counts(items["item_id"])
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        first = repeated[0].as_py()
        raise DataError(
            f"items: item_id {first['values']!r}", f"occurs {first['counts']} times", "keep one row per item"
        )
    keys = np.array([hashlib.md5(item_id.encode()).hexdigest() for item_id in ids])
    items = items.take(pa.array(np.argsort(keys)))
    first_columns = ["item_id", "title"]
    items = items.select(first_columns + [name for name in items.column_names if name not in first_columns])
    pq.write_table(items, path, compression="zstd")
    return items


def _write_interactions(interactions: pa.Table | pa.RecordBatchReader, known: pa.Array, path: Path) -> dict[str, int]:
    """Check and write batch by batch; return the totals."""
    if isinstance(interactions, pa.Table):
        interactions = interactions.to_reader(max_chunksize=1_000_000)
    written, users = 0, pa.array([], pa.string())
    writer: pq.ParquetWriter | None = None
    try:
        for batch in interactions:
            table = _checked_interactions(pa.Table.from_batches([batch]), known, written)
            users = pc.unique(pa.chunked_array([users, pc.unique(table["user_id"])]))
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            written += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    if not written:
        raise DataError("interactions", "there are none", "loosen the filters, or check the column mapping")
    return {"users": len(users), "interactions": written}


def _checked_interactions(table: pa.Table, known: pa.Array, offset: int) -> pa.Table:
    _require(table, "interactions", ("user_id", "item_id"))
    table = _ids_as_strings(table, "interactions", ("user_id", "item_id"))
    _require_known(table["item_id"], known, "interactions", offset)
    if "timestamp" in table.column_names:
        kind = table["timestamp"].type
        if not pa.types.is_integer(kind):
            raise DataError("interactions.timestamp", f"has type {kind}", "give whole seconds since 1970")
        if table["timestamp"].null_count:
            raise DataError("interactions.timestamp", "has empty values", "give every interaction a time, or none")
        place = table.column_names.index("timestamp")
        table = table.set_column(place, "timestamp", table["timestamp"].cast(pa.int64()))
    return table


def _write_rows(rows: pa.Table, known: pa.Array, path: Path) -> dict[str, int]:
    rows = _ids_as_strings(rows, "rows", ("user_id", "item_id"))
    place = rows.column_names.index("history")
    rows = rows.set_column(place, "history", rows["history"].cast(pa.list_(pa.string())))
    if rows["history"].null_count:
        raise DataError("rows.history", "has empty values", "give every row a list, empty if need be")
    _require_known(rows["item_id"], known, "rows", 0)
    _require_known(pc.list_flatten(rows["history"]), known, "rows.history", 0)
    pq.write_table(rows, path, compression="zstd")
    return {name: pc.sum(pc.equal(rows["split"], name)).as_py() or 0 for name in GIVEN_SPLITS}


def _require(table: pa.Table, where: str, columns: Sequence[str]) -> None:
    for name in columns:
        if name not in table.column_names:
            raise DataError(where, f"has no column {name!r}", f"columns are {listed(table.column_names)}")


def _ids_as_strings(table: pa.Table, where: str, columns: Sequence[str]) -> pa.Table:
    for name in columns:
        ids = table[name].cast(pa.string())
        if ids.null_count or pc.any(pc.equal(pc.utf8_trim_whitespace(ids), "")).as_py():
            raise DataError(f"{where}.{name}", "has empty values", "give every row an id")
        table = table.set_column(table.column_names.index(name), name, ids)
    return table


def _require_known(ids: pa.ChunkedArray, known: pa.Array, where: str, offset: int) -> None:
    unknown = pc.invert(pc.is_in(ids, value_set=known))
    row = pc.index(unknown, True).as_py()
    if row >= 0:
        raise DataError(
            f"{where}: row {offset + row + 1}",
            f"item_id {ids[row].as_py()!r} is not among the items",
            "add the item, or drop its interactions",
        )


def _check_words(words: Mapping[str, str]) -> None:
    for key in WORD_KEYS:
        if not words.get(key):
            raise DataError(f"words.{key}", "is missing", f"give all of {', '.join(WORD_KEYS)}, e.g. book, books, read")


def _check_split(split: Protocol, rows: pa.Table | None) -> None:
    if split not in ("temporal", "leave-one-out", "given"):
        raise DataError(f"split {split!r}", "is unknown", "use temporal, leave-one-out or given")
    if (split == "given") != (rows is not None):
        raise DataError("split", "is 'given' exactly when there are given rows", "pass both or neither")
    if rows is not None:
        _require(rows, "rows", ("split", "user_id", "history", "item_id"))
        others = set(pc.unique(rows["split"]).to_pylist()) - set(GIVEN_SPLITS)
        if others:
            raise DataError("rows.split", f"holds {sorted(map(str, others))}", "use valid and test")


def _rating_scale(path: Path, given: Scale | None) -> tuple[dict[str, float | None] | None, list[str]]:
    """The scale for the manifest, None where there are no ratings; and what is doubtful about it."""
    if "rating" not in pq.read_schema(path).names:
        return None, []
    ratings = pc.unique(pq.read_table(path, columns=["rating"], partitioning=None)["rating"].drop_null()).to_numpy()
    if not len(ratings):
        return None, []
    scale = given or Scale.of_ratings(ratings)
    for end in (ratings.min(), ratings.max()):
        if not scale.contains(round(float(end), DECIMALS)):
            raise DataError(
                f"interactions.rating {end:g}", f"is not on the scale {scale}", "give a scale that holds it"
            )
    notes = [] if given is not None else scale.doubts(ratings)
    if len(ratings) == 1:
        notes.append(f"every rating is {ratings[0]:g}: there is nothing to predict, only to rank")
    return scale.record, notes


def _fingerprint(folder: Path) -> dict[str, Any]:
    """What tells this data from any other: columns and checksum of each file, and one checksum of them all."""
    files = [folder / name for name in DATA_FILES if (folder / name).exists()]
    checksums = {path.name: file_sha256(path) for path in files}
    return {
        "schema": {path.name: {field.name: str(field.type) for field in pq.read_schema(path)} for path in files},
        "files": checksums,
        "checksum": hashlib.sha256("".join(checksums.values()).encode()).hexdigest(),
    }
