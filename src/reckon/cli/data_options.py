"""Options that the sources of `reckon data prepare` share: their words and their help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Split(StrEnum):
    TEMPORAL = "temporal"
    LEAVE_ONE_OUT = "leave-one-out"


class Dedupe(StrEnum):
    NONE = "none"
    EXACT = "exact"
    FIRST = "first"
    LAST = "last"
    MEAN = "mean"


class UnknownItems(StrEnum):
    ERROR = "error"
    DROP = "drop"
    ADD = "add"


class TimeUnit(StrEnum):
    AUTO = "auto"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


class BadRows(StrEnum):
    ERROR = "error"
    DROP = "drop"


class CoreOn(StrEnum):
    TRAIN = "train"
    ALL = "all"


class Format(StrEnum):
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    PARQUET = "parquet"


class Kind(StrEnum):
    REVIEWS = "reviews"
    RATINGS = "ratings"


Out = Annotated[Path, typer.Argument(metavar="OUT", help="The dataset directory to make.")]
SplitBy = Annotated[Split, typer.Option("--split", help="How targets are shared out: by time 8:1:1, or per user.")]
KCore = Annotated[int, typer.Option("--k-core", min=0, help="Keep users and items with at least this many events.")]
KCoreOn = Annotated[
    CoreOn | None,
    typer.Option(
        "--k-core-on",
        help="What --k-core counts: events of the training period (default of a temporal split), or all.",
    ),
]
Since = Annotated[str | None, typer.Option(metavar="DATE", help="First day kept, UTC, e.g. 2016-10-01.")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="First day no longer kept.")]
MinTitle = Annotated[int, typer.Option(min=0, help="Characters a title needs; 1 drops items without one.")]
DedupeBy = Annotated[
    Dedupe,
    typer.Option(
        help="exact: same user, item and time once; first, last: one event per user and item; mean: the last, with the "
        "mean of their ratings."
    ),
]
Words = Annotated[str | None, typer.Option(metavar="ITEM,ITEMS,ACTION", help="What prompts say, e.g. book,books,read.")]
Unknown = Annotated[
    UnknownItems,
    typer.Option(help="Events whose item has no record: stop, leave them out, or add an item without a title."),
]
Bad = Annotated[
    BadRows,
    typer.Option("--bad-rows", help="Rows without a usable id, time or rating: stop, or drop and count them."),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="NAME",
        help="Item column such as average_rating that is kept although it may count the test period; repeatable.",
    ),
]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="What DuckDB may use before it spills to disk.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing dataset directory.")]
