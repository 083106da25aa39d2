"""`reckon data`: prepare data sets from a source, and describe them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reckon.cli.data_options import (
    Bad,
    BadRows,
    CoreOn,
    Dedupe,
    DedupeBy,
    Format,
    KCore,
    KCoreOn,
    Keep,
    Kind,
    Memory,
    MinTitle,
    Out,
    Overwrite,
    Since,
    Split,
    SplitBy,
    TimeUnit,
    Unknown,
    UnknownItems,
    Until,
    Words,
)
from reckon.cli.options import NoVerify
from reckon.messages import one_line, printable

if TYPE_CHECKING:
    from reckon.data.prepare.filters import Filters
    from reckon.data.sources import Source

app = typer.Typer(no_args_is_help=True)
prepare_app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Prepare data sets from a source, and describe them."""


@prepare_app.callback()
def _prepare_group() -> None:
    """Make a dataset directory from a source. `reckon data prepare SOURCE --help` lists the options of each."""


app.add_typer(prepare_app, name="prepare")


@prepare_app.command("bookshop", epilog="Example: reckon data prepare bookshop data/bookshop --seed 1")
def bookshop(
    out: Out,
    seed: Annotated[int, typer.Option(min=0, help="Everything in the shop follows from it.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a bookshop whose readers follow a known taste: needs no input and no network."""
    from reckon.simulation.bookshop import write_bookshop

    write_bookshop(out, seed=seed, overwrite=overwrite)
    _done(out)


@prepare_app.command("rated-bookshop", epilog="Example: reckon data prepare rated-bookshop data/rated --seed 1")
def rated_bookshop(
    out: Out,
    seed: Annotated[int, typer.Option(min=0, help="Everything in the shop follows from it.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Simulate a bookshop with rated reviews, whose best possible MAE and RMSE are known exactly."""
    from reckon.simulation.rated_bookshop import write_rated_bookshop

    write_rated_bookshop(out, seed=seed, overwrite=overwrite)
    _done(out)


@prepare_app.command(
    "movielens", epilog="Example: reckon data prepare movielens ml-latest-small.zip data/movielens --k-core 5"
)
def movielens(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The published folder or zip.")],
    out: Out,
    split: SplitBy = Split.TEMPORAL,
    k_core: KCore = 0,
    k_core_on: KCoreOn = None,
    since: Since = None,
    until: Until = None,
    min_title: MinTitle = 0,
    words: Words = None,
    bad_rows: Bad = BadRows.ERROR,
    memory: Memory = "2GB",
    overwrite: Overwrite = False,
) -> None:
    """MovieLens as published: ml-latest-small, ml-latest, ml-25m, ml-32m, ml-1m, ml-10m or ml-100k."""
    from reckon.data.sources.movielens import MovieLens

    filters = _filters(k_core, k_core_on, since, until, min_title, Dedupe.EXACT)
    _prepare(MovieLens(path), out, split, filters, words, None, memory, overwrite, bad_rows)


@prepare_app.command(
    "amazon-2023", epilog="Example: reckon data prepare amazon-2023 raw/ data/beauty --category All_Beauty --download"
)
def amazon_2023(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of the published files, or for the download.")],
    out: Out,
    category: Annotated[str, typer.Option(help="As in the file names, e.g. All_Beauty.")],
    kind: Annotated[Kind, typer.Option(help="Reviews with text, or the smaller table of ratings.")] = Kind.REVIEWS,
    download: Annotated[bool, typer.Option("--download", help="Fetch what is missing, with resume.")] = False,
    mirror: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Base address tried before the publisher's; repeatable.")
    ] = None,
    sha256: Annotated[
        list[str] | None, typer.Option(metavar="FILE=HEX", help="Checksum that a file must have; repeatable.")
    ] = None,
    split: SplitBy = Split.TEMPORAL,
    k_core: KCore = 0,
    k_core_on: KCoreOn = None,
    since: Since = None,
    until: Until = None,
    min_title: MinTitle = 0,
    dedupe: DedupeBy = Dedupe.EXACT,
    unknown_items: Unknown = UnknownItems.DROP,
    words: Words = None,
    bad_rows: Bad = BadRows.ERROR,
    memory: Memory = "2GB",
    overwrite: Overwrite = False,
) -> None:
    """Amazon Reviews 2023: metadata and reviews (or ratings) of one category."""
    from reckon.data.sources.amazon2023 import MIRRORS, Amazon2023

    source = Amazon2023(
        path=path,
        category=category,
        kind=kind.value,
        download=download,
        mirrors=(*(mirror or ()), *MIRRORS),
        sha256=_pairs("--sha256", sha256),
    )
    filters = _filters(k_core, k_core_on, since, until, min_title, dedupe)
    _prepare(source, out, split, filters, words, unknown_items, memory, overwrite, bad_rows)


@prepare_app.command("rows", epilog="Example: reckon data prepare rows amazon-industrial/ data/industrial")
def rows(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder with items, interactions, valid and test.")],
    out: Out,
    without_test: Annotated[bool, typer.Option("--without-test", help="Accept a folder without test rows.")] = False,
    keep: Keep = None,
    words: Words = None,
    bad_rows: Bad = BadRows.ERROR,
    memory: Memory = "2GB",
    overwrite: Overwrite = False,
) -> None:
    """Given next-item rows with their own histories; only interactions of origin `history` train."""
    from reckon.data.sources.rows import Rows

    _prepare(
        Rows(path, without_test=without_test, keep=tuple(keep or ())),
        out,
        None,
        None,
        words,
        None,
        memory,
        overwrite,
        bad_rows,
    )


@prepare_app.command(
    "table",
    epilog="Example: reckon data prepare table orders.csv data/shop --map user_id=customer --map item_id=sku "
    "--map timestamp=ordered_at --items products.parquet --item-map item_id=sku --item-map title=name",
)
def table(
    interactions: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="CSV, JSON lines, Parquet (.gz too), SQLite file or postgresql:// address of the interactions.",
        ),
    ],
    out: Out,
    items: Annotated[str | None, typer.Option(metavar="PATH", help="The items, in any of these forms.")] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OURS=THEIRS",
            help="user_id, item_id, timestamp or position (@row: row order), rating, summary, review, title; "
            "repeatable.",
        ),
    ] = None,
    item_map: Annotated[
        list[str] | None,
        typer.Option(metavar="OURS=THEIRS", help="item_id, title, further columns in prompt order; repeatable."),
    ] = None,
    item_columns: Annotated[
        str | None,
        typer.Option(metavar="A,B,C", help="Item columns that become text beside the mapped ones; all if left out."),
    ] = None,
    keep: Keep = None,
    where: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="Rows that count, e.g. \"event = 'transaction'\".")
    ] = None,
    name: Annotated[str | None, typer.Option("--table", help="Table of the interactions in a database.")] = None,
    items_table: Annotated[str | None, typer.Option(help="Table of the items in a database.")] = None,
    time_unit: Annotated[TimeUnit, typer.Option(help="Unit of numeric timestamps.")] = TimeUnit.AUTO,
    time_format: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="How dates are written, e.g. %d/%m/%Y."),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH[:STEP]", help="Of the ratings, e.g. 1:5:1; told from the ratings if left out."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help=r"Field separator of CSV files, if not plain, e.g. ';', '\t' or '::'.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Of a file whose name does not tell it, e.g. u.data.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="Column names of interactions in a CSV file without a header.")
    ] = None,
    no_header: Annotated[
        bool, typer.Option("--no-header", help="The CSV file has no header: columns are column1, column2, …")
    ] = False,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of text files, e.g. latin-1; UTF-8 if left out.")
    ] = None,
    split: SplitBy = Split.TEMPORAL,
    k_core: KCore = 0,
    k_core_on: KCoreOn = None,
    since: Since = None,
    until: Until = None,
    min_title: MinTitle = 0,
    dedupe: DedupeBy = Dedupe.EXACT,
    unknown_items: Unknown = UnknownItems.ERROR,
    relabel: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="Item ids, and missing titles, become random numbers: ids often tell age."),
    ] = None,
    words: Words = None,
    bad_rows: Bad = BadRows.ERROR,
    memory: Memory = "2GB",
    overwrite: Overwrite = False,
) -> None:
    """Your own interactions and items, with a mapping of their columns."""
    from reckon.data.scale import Scale
    from reckon.data.sources.files import FileStyle
    from reckon.data.sources.table import Table
    from reckon.data.sources.where import Condition

    source = Table(
        interactions=interactions,
        items=items,
        columns=_pairs("--map", map_),
        item_columns=_pairs("--item-map", item_map),
        table=name,
        items_table=items_table,
        time_unit=time_unit.value,
        time_format=time_format,
        text_columns=None if item_columns is None else _names(item_columns),
        keep=tuple(keep or ()),
        where=None if where is None else Condition.parse(where),
        style=FileStyle(
            format=None if format_ is None else format_.value,
            encoding=encoding,
            delimiter=delimiter,
            names=None if columns is None else _names(columns),
            header=not no_header,
        ),
        scale=None if scale is None else Scale.parse(scale),
    )
    filters = _filters(k_core, k_core_on, since, until, min_title, dedupe)
    _prepare(source, out, split, filters, words, unknown_items, memory, overwrite, bad_rows, relabel)


@app.command("describe", epilog="Example: reckon data describe data/movielens")
def describe(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A dataset directory.")],
    window: Annotated[int, typer.Option(min=1, help="Events that a history holds at most.")] = 20,
    no_verify: NoVerify = False,
) -> None:
    """Print counts, splits, history and text lengths, what the filters did, and one example."""
    from reckon.data.describe import describe as text_of

    typer.echo(text_of(path, window))


def _prepare(
    source: "Source",
    out: Path,
    split: Split | None,
    filters: "Filters | None",
    words: str | None,
    unknown_items: UnknownItems | None,
    memory: str,
    overwrite: bool,
    bad_rows: BadRows,
    relabel: int | None = None,
) -> None:
    from reckon.data.prepare.prepare import prepare

    prepare(
        source,
        out,
        split=None if split is None else split.value,
        filters=filters,
        words=_words(words),
        unknown_items=None if unknown_items is None else unknown_items.value,
        relabel=relabel,
        bad_rows=bad_rows.value,
        memory=memory,
        overwrite=overwrite,
    )
    _done(out)


def _done(out: Path) -> None:
    from reckon.data.dataset import Dataset

    info = Dataset.load(out).info
    totals = info["totals"]
    for note in info["notes"]:
        typer.echo(one_line(f"Note: {note}."), err=True)
    counts = ", ".join(f"{totals[name]:,} {name}" for name in ("users", "items", "interactions"))
    typer.echo(printable(f"Wrote {out}: {counts}. Next: reckon data describe {out}"))


def _filters(
    k_core: int, k_core_on: CoreOn | None, since: str | None, until: str | None, min_title: int, dedupe: Dedupe
) -> "Filters":
    from reckon.data.prepare.filters import Filters

    return Filters(
        k_core=k_core,
        k_core_on=None if k_core_on is None else k_core_on.value,
        since=since,
        until=until,
        min_title=min_title,
        dedupe=dedupe.value,
    )


def _names(text: str) -> tuple[str, ...]:
    """Names joined by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """`A=B` options as a dict, in the order given."""
    from reckon.errors import ConfigError

    pairs: dict[str, str] = {}
    for text in texts or []:
        ours, equals, theirs = text.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise ConfigError(option, text, "is not of the form NAME=VALUE", f"write it as {option} NAME=VALUE")
        if ours.strip() in pairs:
            raise ConfigError(option, text, f"{ours.strip()} was already given", "give each name once")
        pairs[ours.strip()] = theirs.strip()
    return pairs


def _words(text: str | None) -> dict[str, str]:
    from reckon.errors import ConfigError

    if text is None:
        return {}
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(parts):
        raise ConfigError(
            "--words",
            text,
            "needs an item, its plural and an action in the past tense",
            "write it as --words book,books,read",
        )
    return dict(zip(("item", "items", "action"), parts, strict=True))
