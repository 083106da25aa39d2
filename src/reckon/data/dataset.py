"""The dataset directory, read: items, interactions, given rows and the manifest.

Entry point: `Dataset.load(path)`. The directory is written by `reckon.data.prepare.write.write_dataset`:

    items.parquet         item_id (string, unique), title, any further text or number columns
    interactions.parquet  user_id (string), item_id, timestamp (int64 seconds, or absent), rating?, summary?, review?
                          Row order is the order of events: a tie in time is already resolved here.
    rows.parquet          optional given evaluation rows: split, user_id, history (list of item_id), item_id.
                          With it, every interaction is training data.
    dataset.json          source, split, counts after every filter, tie rule, checksums, words for the prompts
    checksums.json        of all these files (`reckon.checksums`)

Does not know about prompts, tokens or models.
"""

import difflib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reckon.checksums import check_files, checking
from reckon.data.examples import Event, EventLog, Example, Examples, FloatArray, IntArray
from reckon.data.rating_log import RatingLog
from reckon.data.splits import SPLITS, Protocol, Split, split_of_events
from reckon.errors import DataError
from reckon.json_file import Each, Maybe, read_json

EVENT_COLUMNS = ("timestamp", "rating")  # summaries and reviews stay on disk until `Dataset.texts` asks for them
TextColumn = Literal["summary", "review"]
DEFAULT_WINDOW = 20  # events; R2ec (arXiv 2505.16994) reads the last 20
PREPARE_AGAIN = "prepare the data again"
WORDS = ("item", "items", "action")  # what prompts call items and actions


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


COLUMN_TYPES = {
    "user_id": (_is_text, "text"),
    "item_id": (_is_text, "text"),
    "title": (lambda kind: _is_text(kind) or pa.types.is_null(kind), "text"),
    "timestamp": (pa.types.is_integer, "whole numbers"),
    "rating": (lambda kind: _is_number(kind) or pa.types.is_null(kind), "numbers"),
}
MANIFEST = {
    "split": str,
    "checksum": str,
    "words": dict.fromkeys(WORDS, str),
    "source": {"name": Maybe(str)},
    "files": Maybe(Each(str)),
    "totals": Maybe(dict),
    "counts": Maybe([dict]),
    "notes": Maybe([str]),
    "rating_scale": Maybe(({"lowest": float, "highest": float, "step": (float, None)}, None)),
}  # shape of dataset.json


class Catalog:
    """Every item that may be recommended. `item_index` is the row here; `item_id` the data set's string."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.ids: list[str] = table["item_id"].to_pylist()
        self.titles: list[str] = [title or "" for title in table["title"].to_pylist()]
        self._index = {item_id: index for index, item_id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, item_id: str) -> int:
        """Item index of an id. Raises DataError for an id the catalog lacks."""
        try:
            return self._index[item_id]
        except KeyError:
            raise DataError(
                f"item_id {item_id!r}",
                "is not in the catalog",
                "use an id of items.parquet, or prepare the data again with this item",
            ) from None

    def indices(self, item_ids: list[str]) -> IntArray:
        """Item indices of many ids: [n] int32."""
        return np.fromiter((self.index(item_id) for item_id in item_ids), dtype=np.int32, count=len(item_ids))

    def column_indices(self, item_ids: pa.ChunkedArray) -> IntArray:
        """Item indices of a column of ids, without a Python object per row: [n] int32."""
        found = pc.index_in(item_ids.cast(pa.string()), value_set=pa.array(self.ids, pa.string()))
        if found.null_count:
            self.index(item_ids[pc.index(pc.is_null(found), True).as_py()].as_py())  # raises, with the id's name
        return found.to_numpy(zero_copy_only=False).astype(np.int32)

    def record(self, index: int) -> dict[str, Any]:
        """All columns of one item, in the file's column order."""
        return {name: self.table[name][index].as_py() for name in self.table.column_names}


@dataclass(frozen=True)
class Dataset:
    """A prepared data set. Load it with `Dataset.load`; ask it for `examples`."""

    path: Path
    info: dict[str, Any]
    """The manifest `dataset.json`."""
    catalog: Catalog
    user_ids: np.ndarray  # [U] strings, in order of their runs in the event log
    user_index: IntArray  # [E] the user of each event
    events: EventLog
    rows: pa.Table | None

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> "Dataset":
        """Read a dataset directory.

        Args:
            path: the directory.
            verify: whether to check that its files are as they were written.

        Raises:
            DataError: a file is missing, unreadable or changed, a column is absent, or an interaction names an unknown
                item.
        """
        path = Path(path)
        with checking(verify):
            return cls._load(path, _read_manifest(path))

    @classmethod
    def _load(cls, path: Path, info: dict[str, Any]) -> "Dataset":
        check_files(path, older=info.get("files"), error=DataError)
        catalog = Catalog(_read_parquet(path / "items.parquet", required=("item_id", "title")))
        table = _read_parquet(path / "interactions.parquet", required=("user_id", "item_id"), optional=EVENT_COLUMNS)
        users, user_index = _users(table["user_id"])
        by_user = np.argsort(user_index, kind="stable")  # the file's order within each user is the order of events
        events = EventLog(
            item_index=catalog.column_indices(table["item_id"])[by_user],
            time=_column(table, "timestamp", np.int64, by_user),
            rating=_column(table, "rating", np.float32, by_user),
        )
        rows = path / "rows.parquet"
        return cls(
            path=path,
            info=info,
            catalog=catalog,
            user_ids=users,
            user_index=user_index[by_user],
            events=events,
            rows=_read_parquet(rows, required=("split", "user_id", "history", "item_id")) if rows.exists() else None,
        )

    @property
    def protocol(self) -> Protocol:
        """The split this data set was prepared for."""
        return self.info["split"]

    @property
    def words(self) -> dict[str, str]:
        """What items and actions are called in prompts, e.g. {'item': 'book', 'items': 'books', 'action': 'read'}."""
        return {name: self.info["words"][name] for name in WORDS}

    @property
    def checksum(self) -> str:
        """sha256 over the data files, as recorded when the directory was written."""
        return self.info["checksum"]

    @property
    def identity(self) -> dict[str, str]:
        """What a training follows from: the data, and which of its rows are held out. `data` and `split`."""
        return {"data": self.checksum, "split": self.protocol}

    def examples(self, split: Split, window: int = DEFAULT_WINDOW) -> Examples:
        """Rows of one split; histories hold at most the last `window` events before the target."""
        if split not in SPLITS:
            raise DataError(f"split {split!r}", "is unknown", "use train, valid or test")
        if self.rows is not None and split != "train":
            return self._given_examples(split, window)
        return self._event_examples(self.split_events(split), window)

    def split_events(self, split: Split) -> IntArray:
        """Places in the event log of the events that are targets of a split."""
        return np.flatnonzero(self._event_splits == SPLITS.index(split))

    def histories(self, window: int = DEFAULT_WINDOW) -> Examples:
        """One row per user with everything known, for recommending now. Targets are -1."""
        ends = np.flatnonzero(np.r_[self.user_index[1:] != self.user_index[:-1], True]) + 1  # [U]
        starts = np.r_[0, ends[:-1]]
        return Examples(
            user_ids=self.user_ids,
            targets=np.full(len(ends), -1, dtype=np.int32),
            times=None if self.events.time is None else self.events.time[ends - 1],
            first=starts,
            start=np.maximum(starts, ends - window),
            end=ends,
            events=self.events,
        )

    @cached_property
    def train_counts(self) -> IntArray:
        """[I] how often each item occurs in training events (first events of users included)."""
        return np.bincount(self.events.item_index[self.is_training_event], minlength=len(self.catalog))

    @cached_property
    def rating_log(self) -> RatingLog:
        """Every rated event, findable by user and by item. Raises DataError where there are no ratings."""
        rating = self.events.rating
        if rating is None or np.isnan(rating).all():
            raise DataError(
                str(self.path),
                "has no ratings",
                "prepare it again with a column of ratings (for a table: --map rating=COLUMN), or use other data",
            )
        return RatingLog(self.user_index, self.events.item_index, self.events.time, rating, len(self.catalog))

    def texts(self, name: TextColumn) -> pa.ChunkedArray | None:
        """The headline or the body of every event's review, in the order of the event log; None where there are none.

        Read from disk on first use and kept as Arrow text, a few bytes more than the characters.
        """
        if name not in self._texts:
            self._texts[name] = self._read_texts(name)
        return self._texts[name]

    def find_user(self, user_id: str) -> int:
        """Row of `user_ids`. Raises DataError for an id without interactions, naming the nearest ids."""
        row = int(np.searchsorted(self.user_ids, user_id))
        if row == len(self.user_ids) or self.user_ids[row] != user_id:
            known = [str(user) for user in self.user_ids]
            near = difflib.get_close_matches(user_id, known, n=3)
            fix = f"nearest ids: {', '.join(near)}" if near else f"give an id such as {', '.join(known[:3])}"
            raise DataError(f"user {user_id!r}", "is not in the data set", fix)
        return row

    def latest(self, user_id: str, window: int = DEFAULT_WINDOW) -> Example:
        """Everything known of a user, for recommending now; the target is -1.

        A user of given rows is known by the last of those rows: its history, and then its target.

        Raises:
            DataError: there is no such user.
        """
        if self.rows is not None:
            given = self.rows.filter(pc.equal(self.rows["user_id"].cast(pa.string()), user_id))
            if given.num_rows:
                row = given.slice(given.num_rows - 1).to_pylist()[0]
                items = self.catalog.indices([*row["history"], row["item_id"]])
                events = tuple(Event(int(item), None, None) for item in items[-window:])
                return Example(user_id, events, -1, None, items)
        return self.histories(window)[self.find_user(user_id)]

    @cached_property
    def _event_splits(self) -> IntArray:
        if self.protocol == "given":  # every interaction is training data; first events have no history
            first = np.r_[True, self.user_index[1:] != self.user_index[:-1]]
            return np.where(first, -1, 0).astype(np.int8)
        return split_of_events(self.protocol, self.user_index, self.events.time)

    @property
    def is_training_event(self) -> np.ndarray:
        """[E] training targets, and users' first events when they are older than every validation target."""
        split = self._event_splits
        if self.protocol == "temporal" and self.events.time is not None:
            return self.events.time < self.events.time[split >= 1].min()
        return split <= 0

    @cached_property
    def _texts(self) -> dict[TextColumn, pa.ChunkedArray | None]:
        return {}

    def _read_texts(self, name: TextColumn) -> pa.ChunkedArray | None:
        path = self.path / "interactions.parquet"
        table = _read_parquet(path, required=("user_id", "item_id"), optional=(name,))
        if name not in table.column_names:
            return None
        by_user = np.argsort(_users(table["user_id"])[1], kind="stable")  # as in `load`
        texts = table[name].cast(pa.large_string())  # a 32-bit string array holds 2 GB, and `take` makes one of all
        return texts if (np.diff(by_user) == 1).all() else texts.take(pa.array(by_user))

    def _event_examples(self, targets: IntArray, window: int) -> Examples:
        first = np.flatnonzero(np.r_[True, self.user_index[1:] != self.user_index[:-1]])
        starts = first[self.user_index[targets]]
        return Examples(
            user_ids=self.user_ids[self.user_index[targets]],
            targets=self.events.item_index[targets],
            times=None if self.events.time is None else self.events.time[targets],
            first=starts,
            start=np.maximum(starts, targets - window),
            end=targets,
            events=self.events,
        )

    def _given_examples(self, split: Split, window: int) -> Examples:
        assert self.rows is not None
        rows = self.rows.filter(pc.equal(self.rows["split"], split))
        if not rows.num_rows:
            raise DataError(
                str(self.path / "rows.parquet"),
                f"has no {split} rows",
                f"use {'valid' if split == 'test' else 'test'}, or prepare the data with {split} rows",
            )
        histories: list[list[str]] = rows["history"].to_pylist()
        lengths = np.array([len(history) for history in histories], dtype=np.int64)
        end = np.cumsum(lengths)
        log = EventLog(self.catalog.indices([i for history in histories for i in history]), time=None, rating=None)
        return Examples(
            user_ids=rows["user_id"].to_numpy(zero_copy_only=False).astype(object),
            targets=self.catalog.indices(rows["item_id"].to_pylist()),
            times=None,
            first=end - lengths,
            start=np.maximum(end - lengths, end - window),
            end=end,
            events=log,
        )


def _users(column: pa.ChunkedArray) -> tuple[np.ndarray, IntArray]:
    """The distinct users in order of their ids [U], and the user of every row [E]."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    ids = np.array(coded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(ids)
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    return ids[order], rank[coded.indices.to_numpy()]


def _column(table: pa.Table, name: str, dtype: type, order: IntArray) -> Any:
    if name not in table.column_names:
        return None
    column: FloatArray | IntArray = table[name].to_numpy(zero_copy_only=False).astype(dtype)
    return column[order]


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "dataset.json"
    if not file.exists():
        raise DataError(str(file), "does not exist", "make the directory with `reckon data prepare`")
    info: dict[str, Any] = read_json(file, MANIFEST, error=DataError, fix=PREPARE_AGAIN)
    if info["split"] not in get_args(Protocol):
        raise DataError(str(file), f"names an unknown split ({info['split']!r})", PREPARE_AGAIN)
    return info


def _read_parquet(path: Path, required: tuple[str, ...], optional: tuple[str, ...] | None = None) -> pa.Table:
    """The required and the optional columns; all there are if `optional` is None."""
    try:
        found = pq.read_schema(path).names
        wanted = found if optional is None else [name for name in (*required, *optional) if name in found]
        table = pq.read_table(path, columns=wanted, partitioning=None)
    except FileNotFoundError:
        raise DataError(str(path), "does not exist", "make the directory with `reckon data prepare`") from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(str(path), f"is not readable Parquet ({error})", "prepare the data again") from None
    for name in required:
        if name not in found:
            columns = ", ".join(found)
            raise DataError(str(path), f"has no column {name!r}", f"columns are {columns}; prepare the data again")
    for name, (fits, wanted) in COLUMN_TYPES.items():
        if name in table.column_names and not fits(table.schema.field(name).type):
            kind = table.schema.field(name).type
            raise DataError(str(path), f"has a column {name!r} of type {kind}, not of {wanted}", PREPARE_AGAIN)
        if name in required and name.endswith("_id") and table[name].null_count:
            raise DataError(str(path), f"has empty values in {name!r}", PREPARE_AGAIN)
    return table


def as_table(items: Any) -> pa.Table:
    """A table of items, or a data frame of them that speaks Arrow, as a table. Raises DataError for anything else."""
    if isinstance(items, pa.Table):
        return items
    if hasattr(items, "__arrow_c_stream__"):
        return pa.table(items)
    fix = "give a pyarrow.Table, or a data frame of pandas or polars, with the columns item_id and title"
    raise DataError("items", f"are of the type {type(items).__name__}, which is no table", fix)
