import gzip
import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.ratings import rating_examples, rating_scale
from reckon.data.scale import Scale
from reckon.data.sources.files import FileStyle
from reckon.data.sources.table import Table
from reckon.errors import ConfigError, DataError

HEADER = ("customer", "sku", "ordered at", "stars", "said")
EVENTS = [
    (
        f"u{user}",
        f"{item:04d}",
        str(1_500_000_000 + 100 * user + item),
        "4.5" if item % 2 else "",
        f"No. {item} &amp; more",
    )
    for user in range(5)
    for item in range(user, user + 6)
]
PRODUCTS = [(f"{item:04d}", f"Thing &quot;{item}&quot;", "9.50") for item in range(12)]
MAP = {"user_id": "customer", "item_id": "sku", "timestamp": "ordered at", "rating": "stars", "review": "said"}
ITEM_MAP = {"item_id": "sku", "title": "name", "price": "price"}


def csv_text(delimiter=","):
    lines = [HEADER, *EVENTS]
    return "\n".join(delimiter.join(line) for line in lines) + "\n"


def records():
    return [dict(zip(HEADER, event, strict=True)) for event in EVENTS]


def write_input(kind, folder):
    """The same events in one of the accepted forms: where they are, and further settings."""
    path = folder / f"orders.{kind}"
    if kind == "csv":
        path.write_text(csv_text())
    elif kind == "tsv":
        path.write_text(csv_text("\t"))
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress(csv_text().encode()))
    elif kind == "txt":
        path.write_text("\ufeff" + csv_text("|"))
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(record) for record in records()))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress("\n".join(json.dumps(record) for record in records()).encode()))
    elif kind == "json":
        path.write_text(json.dumps(records(), indent=1))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records()), path)
    elif kind == "folder":
        (folder / "parts").mkdir()
        half = len(EVENTS) // 2
        for number, part in enumerate((records()[:half], records()[half:])):
            pq.write_table(pa.Table.from_pylist(part), folder / "parts" / f"part-{number}.parquet")
        path = folder / "parts"
    elif kind == "db":
        with sqlite3.connect(path) as connection:
            connection.execute('CREATE TABLE orders (customer, sku TEXT, "ordered at" INTEGER, stars REAL, said TEXT)')
            connection.executemany("INSERT INTO orders VALUES (?, ?, ?, nullif(?, ''), ?)", EVENTS)
        connection.close()
        return str(path), {"table": "orders"}
    return str(path), {}


KINDS = ("csv", "tsv", "txt", "csv.gz", "jsonl", "jsonl.gz", "json", "parquet", "folder", "db")


@pytest.fixture
def items(tmp_path, csv_file):
    return str(csv_file("products.csv", ("sku", "name", "price"), PRODUCTS))


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_of_input_gives_the_same_data(tmp_path, items, kind):
    location, settings = write_input(kind, tmp_path)
    source = Table(interactions=location, items=items, columns=MAP, item_columns=ITEM_MAP, **settings)
    dataset = Dataset.load(prepare(source, tmp_path / "out"))
    assert dataset.user_ids.tolist() == [f"u{user}" for user in range(5)]
    mine = dataset.user_index == 2
    ids = [dataset.catalog.ids[index] for index in dataset.events.item_index[mine]]
    assert ids == [f"{item:04d}" for item in range(2, 8)]
    assert dataset.events.time[mine].tolist() == [1_500_000_200 + item for item in range(2, 8)]
    assert dataset.events.rating[mine].tolist()[1::2] == [4.5] * 3
    record = dataset.catalog.record(dataset.catalog.index("0003"))
    assert record == {"item_id": "0003", "title": 'Thing "3"', "price": "9.50"}
    reviews = pq.read_table(tmp_path / "out" / "interactions.parquet")["review"].to_pylist()
    assert reviews[0] == "No. 0 & more"
    assert sorted(path.name for path in tmp_path.glob(".out*")) == []


def test_without_a_table_of_items_titles_come_from_the_interactions(tmp_path, csv_file):
    rows = [
        (f"u{user}", item, 1_500_000_000 + item + user, "" if user == 1 else f"Thing {item}")
        for user in range(3)
        for item in range(8)
    ]
    path = csv_file("events.csv", ("user_id", "item_id", "timestamp", "title"), rows)
    catalog = Dataset.load(prepare(Table(interactions=str(path)), tmp_path / "out")).catalog
    assert dict(zip(catalog.ids, catalog.titles, strict=True)) == {str(item): f"Thing {item}" for item in range(8)}


def test_a_review_may_have_a_headline_and_a_body(tmp_path, csv_file):
    rows = [("u", n, 1_500_000_000 + n, 1 + n % 5, f"Head <b>{n}</b>", f"Body &amp; {n}") for n in range(12)]
    path = csv_file("events.csv", ("user_id", "item_id", "timestamp", "rating", "headline", "text"), rows)
    source = Table(interactions=str(path), columns={"summary": "headline", "review": "text"})
    dataset = Dataset.load(prepare(source, tmp_path / "out"))
    assert pq.read_schema(tmp_path / "out" / "interactions.parquet").names[-2:] == ["summary", "review"]
    [*_, latest] = rating_examples(dataset, "test")[0].user_history
    assert latest.summary.startswith("Head ") and latest.text == f"Body & {latest.summary.removeprefix('Head ')}"


def stars(csv_file, *ratings):
    rows = [("u", n, 1_500_000_000 + n, rating) for n, rating in enumerate((*ratings, *[3] * 10))]
    return str(csv_file("events.csv", ("user_id", "item_id", "timestamp", "stars"), rows))


def test_a_given_scale_is_recorded(tmp_path, csv_file):
    source = Table(interactions=stars(csv_file, 1, "", 5), columns={"rating": "stars"}, scale=Scale(0, 10, 0.5))
    dataset = Dataset.load(prepare(source, tmp_path / "out"))
    assert dataset.info["rating_scale"] == {"lowest": 0, "highest": 10, "step": 0.5}
    assert rating_scale(dataset) == Scale(0, 10, 0.5)


@pytest.mark.parametrize("rating", [0, 5.5, -1])
def test_a_rating_outside_the_given_scale_is_named(tmp_path, csv_file, rating):
    source = Table(interactions=stars(csv_file, 1, rating, 9), columns={"rating": "stars"}, scale=Scale(1, 5, 1))
    message = rf"events\.csv, field stars, row 2: '{rating}' lies outside the scale 1 to 5 .*Fix: .*--scale LOW:HIGH"
    with pytest.raises(DataError, match=message):
        prepare(source, tmp_path / "out")


def test_a_scale_without_ratings_is_refused(tmp_path, csv_file):
    source = Table(interactions=stars(csv_file, 1), scale=Scale(1, 5, 1))
    with pytest.raises(DataError, match=r"no ratings for the scale given. Fix: map rating=COLUMN"):
        prepare(source, tmp_path / "out")


def test_lists_of_items_are_histories(tmp_path):
    path = tmp_path / "sequences.parquet"
    pq.write_table(pa.table({"user_id": [1, 2], "item_ids": [[5, 3, 9, 1], [1, 9, 3]]}), path)
    source = Table(interactions=str(path), columns={"item_id": "item_ids"})
    dataset = Dataset.load(prepare(source, tmp_path / "out", split="leave-one-out"))
    assert [dataset.catalog.ids[index] for index in dataset.events.item_index] == ["5", "3", "9", "1", "1", "9", "3"]
    assert dataset.events.time is None


def test_row_order_may_be_the_order_of_events(tmp_path, csv_file):
    path = csv_file("events.csv", ("user_id", "item_id"), [("u", item) for item in (5, 3, 9, 1)])
    source = Table(interactions=str(path), columns={"position": "@row"})
    dataset = Dataset.load(prepare(source, tmp_path / "out", split="leave-one-out"))
    assert [dataset.catalog.ids[index] for index in dataset.events.item_index] == ["5", "3", "9", "1"]


def test_json_of_mixed_types_is_not_rounded(tmp_path):
    path = tmp_path / "events.jsonl"
    stars = [*[4] * 30, 4.5]
    path.write_text(
        "\n".join(
            json.dumps({"user_id": 7, "item_id": n, "timestamp": 1_500_000_000 + n, "rating": star})
            for n, star in enumerate(stars)
        )
    )
    dataset = Dataset.load(prepare(Table(interactions=str(path)), tmp_path / "out"))
    assert dataset.events.rating.tolist() == stars


BAD = {
    "missing column": ("events.csv", "user_id,thing,timestamp\nu,a,1500000000\n", r"no column 'item_id'.*thing"),
    "short row": ("events.csv", "user_id,item_id,timestamp\nu,a,1500000000\nu,b\n", r"Line: 3"),
    "long row": ("events.csv", "user_id,item_id,timestamp\nu,a,1500000000\nu,b,1500000001,x\n", r"Line: 3"),
    "open quote": ("events.csv", 'user_id,item_id,timestamp\nu,"a,1500000000\nu,b,1500000001\n', r"quote"),
    "no UTF-8": ("events.csv", b"user_id,item_id,timestamp\nu,a\xff,1500000000\n", r"Fix: pass --encoding latin-1"),
    "empty id": (
        "events.csv",
        "user_id,item_id,timestamp\nu,a,1500000000\n,b,1500000001\n",
        r"field user_id, row 2: empty is no id",
    ),
    "bad rating": (
        "events.csv",
        "user_id,item_id,timestamp,rating\nu,a,1500000000,4\nu,b,1500000001,good\n",
        r"field rating, row 2: 'good' is not a number",
    ),
    "bad time": (
        "events.csv",
        "user_id,item_id,timestamp\nu,a,1500000000\nu,b,never\n",
        r"field timestamp, row 2: 'never'",
    ),
    "no time": ("events.csv", "user_id,item_id\nu,a\n", r"no column gives the order.*timestamp=COLUMN"),
    "no rows": ("events.csv", "user_id,item_id,timestamp\n", r"has no rows"),
    "empty file": ("events.csv", "", r"is empty"),
    "column twice": ("events.csv", "user_id,item_id,item_id\nu,a,b\n", r"column 'item_id' twice"),
    "bad JSON": ("events.jsonl", '{"user_id": 1, "item_id": 2, "timestamp": 1500000000}\n{"user_id": 1, \n', r"line"),
    "JSON list": (
        "events.jsonl",
        '{"user_id": 1, "item_id": 2, "timestamp": 1500000000}\n[1, 2]\n',
        r"expected records",
    ),
    "no Parquet": ("events.parquet", "hello", r"events\.parquet"),
    "unknown kind": ("events.xlsx", "hello", r"unknown kind '.xlsx'"),
    "no SQLite": ("events.db", "this is no database, but long enough to look like one", r"cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_with_file_and_fix_and_leaves_nothing(tmp_path, case):
    name, content, message = BAD[case]
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = {"table": "events"} if name.endswith(".db") else {}
    with pytest.raises(DataError, match=message) as caught:
        prepare(Table(interactions=str(path), **settings), tmp_path / "new" / "out")
    assert name in str(caught.value) and "Fix: " in str(caught.value) and "\n" not in str(caught.value)
    assert [left.name for left in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("kind", ["csv.gz", "jsonl.gz"])
@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_cut_off_gzip_file_is_noticed(tmp_path, kind, share):
    location, _ = write_input(kind, tmp_path)
    whole = (tmp_path / f"orders.{kind}").read_bytes()
    (tmp_path / f"orders.{kind}").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(DataError, match=r"orders\..*Fix: .*fetch"):
        prepare(Table(interactions=location, columns=MAP), tmp_path / "out")
    assert [left.name for left in tmp_path.iterdir()] == [f"orders.{kind}"]


def test_a_repeated_item_is_named_with_both_rows(tmp_path, csv_file):
    location, _ = write_input("csv", tmp_path)
    items = csv_file("products.csv", ("sku", "name", "price"), [*PRODUCTS, PRODUCTS[2]])
    with pytest.raises(DataError, match=r"products\.csv, row 13: item_id '0002' was already in row 3"):
        prepare(Table(interactions=location, items=str(items), columns=MAP, item_columns=ITEM_MAP), tmp_path / "out")


def test_a_database_needs_a_table_that_it_has(tmp_path):
    location, _ = write_input("db", tmp_path)
    with pytest.raises(ConfigError, match="--table NAME"):
        prepare(Table(interactions=location), tmp_path / "out")
    with pytest.raises(DataError, match="the database has orders"):
        prepare(Table(interactions=location, table="order"), tmp_path / "out")


def test_an_unknown_field_of_ours_is_refused(tmp_path):
    location, _ = write_input("csv", tmp_path)
    with pytest.raises(ConfigError, match="is no field of interactions"):
        prepare(Table(interactions=location, columns={**MAP, "ratings": "stars"}), tmp_path / "out")


def test_a_file_without_header_may_name_its_columns(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(f"u,{item},5,{1_500_000_000 + item}" for item in range(20)))
    style = FileStyle(names=("user_id", "item_id", "rating", "timestamp"))
    dataset = Dataset.load(prepare(Table(interactions=str(path), style=style), tmp_path / "out"))
    assert len(dataset.events.item_index) == 20
