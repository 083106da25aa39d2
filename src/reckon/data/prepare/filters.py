"""Filters: drop what a data set should not hold, and write down how much that was.

Entry point: `apply_filters`. Order: unknown items, minimum title, time window, de-duplication, k-core; each leaves a
record in the workspace's counts. Works on the workspace's tables and inside DuckDB; no row becomes a Python object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from reckon.data.prepare.cores import core_of_all, core_of_train, keep, record_step
from reckon.data.prepare.workspace import Workspace
from reckon.data.splits import Protocol
from reckon.errors import ConfigError, DataError

Dedupe = Literal["none", "exact", "first", "last", "mean"]
CoreOn = Literal["train", "all"]
CORES_ON: tuple[CoreOn, ...] = ("train", "all")
DEDUPES: tuple[Dedupe, ...] = ("none", "exact", "first", "last", "mean")
# Users who act several times in one moment are common; ids and row numbers would order them by release or shelf.
TIE_KEY = "md5(user_id || chr(31) || item_id)"
TIE_RULE = (
    "Events of one user at one time are ordered by md5(user_id + unit separator + item_id), in hex; "
    "what is still equal by rating, then md5 of the review, then of its summary."
)
# The last keys only make the order complete; a whole review as a key would make every sort carry it twice.
LAST_KEYS = {
    "rating": "rating NULLS LAST",
    "review": "md5(review) NULLS LAST",
    "summary": "md5(summary) NULLS LAST",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to drop. The defaults drop exact repeats only."""

    k_core: int = 0
    """Keep users and items with at least this many interactions, until nothing changes. 0 keeps all, also items
    that nobody took; 1 drops only those."""
    k_core_on: CoreOn | None = None
    """What is counted for it. `train`: events of the training period of a temporal split alone; users and items first
    seen later stay. `all`: events of all periods, so the test period decides what is in the data. None: `train` where
    the split is temporal, else `all`."""
    since: str | None = None
    """First day (or moment) kept, UTC, as 2016-10-01."""
    until: str | None = None
    """First day (or moment) no longer kept."""
    min_title: int = 0
    """Characters a cleaned title needs. 1 drops items without a title."""
    dedupe: Dedupe = "exact"
    """`exact`: one of several with the same user, item and time. `first`, `last`: one per user and item. `mean`: the
    last per user and item, with the mean of their ratings. `none`."""

    def __post_init__(self) -> None:
        for name, value in (("k_core", self.k_core), ("min_title", self.min_title)):
            if value < 0:
                raise ConfigError(f"filters.{name}", value, "must not be negative", "give 0 or more")
        if self.dedupe not in DEDUPES:
            raise ConfigError("filters.dedupe", self.dedupe, "is unknown", f"use one of {', '.join(DEDUPES)}")
        if self.k_core_on not in (None, *CORES_ON):
            raise ConfigError("filters.k_core_on", self.k_core_on, "is unknown", f"use one of {', '.join(CORES_ON)}")
        start, end = self.window
        if start is not None and end is not None and start >= end:
            raise ConfigError("filters.until", self.until, "does not lie after since", "swap the two")

    @property
    def window(self) -> tuple[int | None, int | None]:
        """Since and until in microseconds since 1970."""
        return _microseconds("since", self.since), _microseconds("until", self.until)


def apply_filters(workspace: Workspace, filters: Filters, unknown_items: str, split: Protocol) -> None:
    """Shrink `items` and `interactions` as asked.

    Args:
        unknown_items: `error`, `drop` (their interactions) or `add` (an item without a title).
        split: what the data will be split by, which says what the training period is.

    Raises:
        ConfigError: `k_core_on` is `train` and the split is not temporal.
        DataError: an interaction names an unknown item, a filter leaves nothing, or a window is asked of data that
            knows only the order.
    """
    timed_split = split == "temporal" and workspace.timed
    if filters.k_core_on == "train" and not timed_split:
        raise ConfigError("filters.k_core_on", "train", "needs a temporal split", "use all, or split by time")
    _unknown(workspace, unknown_items)
    if filters.min_title:
        _min_title(workspace, filters.min_title)
    if filters.since or filters.until:
        _time_window(workspace, filters)
    _dedupe(workspace, filters.dedupe)
    if filters.k_core:
        on = filters.k_core_on or ("train" if timed_split else "all")
        (core_of_train if on == "train" else core_of_all)(workspace, filters.k_core)


def _unknown(workspace: Workspace, policy: str) -> None:
    unknown = workspace.rows(
        "SELECT reckon_row, item_id FROM interactions ANTI JOIN items USING (item_id) ORDER BY reckon_row LIMIT 1"
    )
    if not unknown:
        return
    line, item_id = unknown[0]
    if policy == "error":
        raise DataError(
            f"{workspace.origin}, row {line}",
            f"item_id {item_id!r} is not among the items",
            "add the item, or pass --unknown-items drop (its interactions) or add (without a title)",
        )
    if policy == "drop":
        keep(workspace, "item_id IN (SELECT item_id FROM items)", "dropping unknown items")
        rule = "interactions with an item that has no record were dropped"
        record_step(workspace, "unknown items", rule, "map item_id to columns that hold the same ids in both tables")
        return
    workspace.run(
        """INSERT INTO items (reckon_row, item_id, title) SELECT min(reckon_row), item_id, '' FROM interactions
        ANTI JOIN items USING (item_id) GROUP BY item_id""",
        doing="adding unknown items",
    )
    rule = "items without a record were added without a title"
    record_step(workspace, "unknown items", rule, "give tables with rows")


def _min_title(workspace: Workspace, length: int) -> None:
    workspace.run(f"DELETE FROM items WHERE length(title) < {length}", doing="dropping short titles")
    keep(workspace, "item_id IN (SELECT item_id FROM items)", "dropping short titles")
    rule = f"items with a title of fewer than {length} characters were dropped"
    record_step(workspace, "minimum title", rule, "lower --min-title, or map title=COLUMN")


def _time_window(workspace: Workspace, filters: Filters) -> None:
    if not workspace.timed:
        raise DataError(
            workspace.origin,
            "a time window needs timestamps and this data knows only the order",
            "leave out since and until, or map a timestamp column",
        )
    start, end = filters.window
    inside = [f"moment >= {start}"] if start is not None else []
    inside += [f"moment < {end}"] if end is not None else []
    first, last = workspace.row("SELECT min(moment) // 1000000, max(moment) // 1000000 FROM interactions")
    keep(workspace, " AND ".join(inside), "cutting the time window")
    rule = f"since {filters.since or 'the beginning'}, before {filters.until or 'the end'}"
    days = " to ".join(f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in (first, last))
    record_step(workspace, "time window", rule, f"widen --since and --until: the data is of {days}")


def _dedupe(workspace: Workspace, how: Dedupe) -> None:
    columns = workspace.columns("interactions")
    if how in ("none", "exact") and "rating" in columns:
        _note_rated_again(workspace)
    if how == "none":
        return
    if how == "mean":
        _average(workspace, columns)
    rest = "".join(f", {key}" for name, key in LAST_KEYS.items() if name in columns)
    if how == "exact":
        same, order = "user_id, item_id, moment", f"user_id{rest}, reckon_row"
        rule = "of interactions with the same user, item and time one was kept"
    else:
        same, order = "user_id, item_id", f"moment {'ASC' if how == 'first' else 'DESC'}{rest}, reckon_row"
        which = "last was kept, with the mean of their ratings" if how == "mean" else f"{how} was kept"
        rule = f"of interactions with the same user and item the {which}"
    first = f"QUALIFY row_number() OVER (PARTITION BY {same} ORDER BY {order}) = 1"
    keep(workspace, f"rowid IN (SELECT rowid FROM interactions {first})", "removing repeats")
    record_step(workspace, "de-duplication", rule, "leave --dedupe out")


def _average(workspace: Workspace, columns: Mapping[str, str]) -> None:
    """Give every interaction the mean of the ratings of its user and item."""
    if "rating" not in columns:
        raise DataError(workspace.origin, "has no ratings to average", "map rating=COLUMN, or use --dedupe last")
    workspace.run(
        """UPDATE interactions SET rating = means.mean FROM
        (SELECT user_id, item_id, avg(rating) AS mean FROM interactions GROUP BY user_id, item_id) AS means
        WHERE interactions.user_id = means.user_id AND interactions.item_id = means.item_id""",
        doing="averaging ratings",
    )


def _note_rated_again(workspace: Workspace) -> None:
    """Say how many items were rated by one user more than once, at different times, and what can be done about it."""
    (again,) = workspace.row(
        """SELECT count(*) FROM (SELECT 1 FROM interactions WHERE rating IS NOT NULL GROUP BY user_id, item_id
        HAVING count(DISTINCT moment) > 1)"""
    )
    if again:
        workspace.note(
            f"{again:,} pairs of user and item have several ratings, which all stay; --dedupe last, first or mean "
            "keeps one of them"
        )


def _microseconds(name: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"filters.{name}", text, "is not a date", "write it as 2016-10-01") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp()) * 1_000_000
