"""Inputs in the shapes that people have: names, encodings, headers, times, kinds of event, item columns."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.aggregates import may_hold_the_future
from reckon.data.sources.files import FileStyle
from reckon.data.sources.movielens import MovieLens
from reckon.data.sources.table import Table
from reckon.data.sources.where import Condition
from reckon.errors import ConfigError, DataError

START = 1_500_000_000
EVENTS = [
    (f"u{user}", f"i{(user + step) % 7}", 1 + step % 5, START + 100 * user + step)
    for user in range(6)
    for step in range(6)
]
HEADER = "user_id,item_id,rating,timestamp"
NAMES = ("user_id", "item_id", "rating", "timestamp")


def lines(separator=",", events=EVENTS):
    return [separator.join(map(str, event)) for event in events]


def csv_of(events=EVENTS):
    return "\n".join([HEADER, *lines(events=events)]) + "\n"


def made(tmp_path, source, **settings):
    return Dataset.load(prepare(source, tmp_path / "out", overwrite=True, **settings))


def notes(dataset):
    return "\n".join(dataset.info["notes"])


@pytest.mark.parametrize("name", ["orders[1].csv", "really?.csv", "st*r.csv", "[s]/orders.csv"])
def test_a_file_is_the_one_named_whatever_its_name(tmp_path, name):
    for other in ("orders1.csv", "reallyx.csv", "star.csv", "s/orders.csv"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text(csv_of([("wrong", *event[1:]) for event in EVENTS]))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(csv_of())
    assert made(tmp_path, Table(interactions=str(tmp_path / name))).user_ids[0] == "u0"


@pytest.mark.parametrize("kind", ["file", "folder", "csv"])
def test_a_folder_name_does_not_override_a_stored_column(tmp_path, kind):
    folder = tmp_path / "parts" / "user_id=h0"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist([dict(zip(NAMES, event, strict=True)) for event in EVENTS]), folder / "a[1].parquet"
    )
    (folder / "a.csv").write_text(csv_of())
    path = {"file": folder / "a[1].parquet", "folder": tmp_path / "parts", "csv": folder / "a.csv"}[kind]
    assert len(made(tmp_path, Table(interactions=str(path))).user_ids) == 6


def test_a_dataset_directory_may_lie_in_a_folder_named_like_a_column(tmp_path):
    (tmp_path / "events.csv").write_text(csv_of())
    dataset = made(tmp_path / "user_id=h0" / "rating=7", Table(interactions=str(tmp_path / "events.csv")))
    assert len(dataset.user_ids) == 6 and dataset.events.rating.max() == 5


def test_a_file_without_header_and_known_ending_is_read_as_told(tmp_path):
    path = tmp_path / "u.data"
    path.write_text("\n".join(lines("\t")))
    with pytest.raises(DataError, match=r"unknown kind '\.data'.*--format"):
        made(tmp_path, Table(interactions=str(path)))
    assert len(made(tmp_path, Table(interactions=str(path), style=FileStyle(format="tsv", names=NAMES))).user_ids) == 6
    numbered = {name: f"column{number}" for number, name in enumerate(NAMES, start=1)}
    source = Table(interactions=str(path), columns=numbered, style=FileStyle(format="tsv", header=False))
    assert made(tmp_path, source).info["totals"]["interactions"] == len(EVENTS)


def test_the_100k_edition_has_latin_titles_and_genres_by_their_file(tmp_path):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_text(
        "\n".join(lines("\t", [(user[1:], item[1:], *rest) for user, item, *rest in EVENTS]))
    )
    movies = [f"{item}|Café {item} (1995)|01-Jan-1995||http://example.org|0|1|1" for item in range(7)]
    (folder / "u.item").write_bytes("\n".join(movies).encode("latin-1"))
    (folder / "u.genre").write_text("unknown|0\nAction|1\nDrama|2\n\n")
    table = made(tmp_path, MovieLens(folder)).catalog.table.sort_by("item_id")
    assert table["title"][3].as_py() == "Café 3 (1995)" and table["genres"][3].as_py() == ["Action", "Drama"]


def test_python_literals_are_read_and_not_run(tmp_path):
    rows = [
        {"user_id": user, "item_id": item, "timestamp": time, "review": f"it's {user}"}
        for user, item, _, time in EVENTS
    ]
    path = tmp_path / "literals.json"
    path.write_text("\n".join(map(repr, rows)))
    dataset = made(tmp_path, Table(interactions=str(path)))
    assert dataset.info["totals"]["interactions"] == len(EVENTS) and "Python literal" in notes(dataset)
    path.write_text(path.read_text() + "\n{'user_id': __import__('os').getcwd()}")
    with pytest.raises(DataError, match=f"row {len(EVENTS) + 1}: is neither"):
        made(tmp_path, Table(interactions=str(path)))


@pytest.mark.parametrize(
    ("text", "form"),
    [("Wed Jan 02 11:38:{:02d} -0800 2013", None), ("02/01/2013 19:38:{:02d}", "%d/%m/%Y %H:%M:%S")],
)
def test_times_are_read_in_their_form(tmp_path, text, form):
    path = tmp_path / "events.csv"
    path.write_text("\n".join([HEADER, *lines(events=[(*e[:3], text.format(n)) for n, e in enumerate(EVENTS)])]))
    assert made(tmp_path, Table(interactions=str(path), time_format=form)).events.time.min() == 1_357_155_480


def test_typed_headers_name_columns(tmp_path):
    path = tmp_path / "typed.inter"
    path.write_text("\n".join(["user_id:token\titem_id:token\trating:float\ttimestamp:float", *lines("\t")]))
    assert made(tmp_path, Table(interactions=str(path))).info["totals"]["users"] == 6


def test_bad_rows_are_refused_with_their_share_or_dropped_and_counted(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        csv_of([(*e[:3], "" if n % 6 == 5 else -1 if n == 0 else e[3] * 1000) for n, e in enumerate(EVENTS)])
    )
    with pytest.raises(DataError, match=r"6 of 36 rows, 16.7%.*--bad-rows drop"):
        made(tmp_path, Table(interactions=str(path)))
    dataset = made(tmp_path, Table(interactions=str(path)), bad_rows="drop")
    assert dataset.info["totals"]["interactions"] == 29
    assert sum(dataset.info["counts"][0]["bad_rows"].values()) == 7 and "were dropped" in notes(dataset)


def test_a_condition_selects_events_and_an_unused_kind_is_named(tmp_path):
    path = tmp_path / "kinds.csv"
    kinds = ("view", "sale")
    path.write_text("\n".join([HEADER + ",event", *(f"{line},{kinds[n % 2]}" for n, line in enumerate(lines()))]))
    assert "event is one of sale, view and was not used" in notes(made(tmp_path, Table(interactions=str(path))))
    dataset = made(tmp_path, Table(interactions=str(path), where=Condition.parse("event = 'sale' AND rating >= 2")))
    wanted = sum(n % 2 == 1 and event[2] >= 2 for n, event in enumerate(EVENTS))
    assert dataset.info["totals"]["interactions"] == wanted and dataset.info["source"]["where"].startswith("event")


@pytest.mark.parametrize(
    "text", ["1 = 1; DROP TABLE x", "event = 'a' OR 1 = 1", "a = (SELECT 1)", "a =", "", "f(a) = 1", "a IN ()"]
)
def test_a_condition_that_is_more_than_comparisons_is_refused(text):
    with pytest.raises(ConfigError, match="--where"):
        Condition.parse(text)


def test_a_condition_is_quoted():
    sql = Condition.parse("\"a\"\"b\" = 'it''s' AND c IN (1, 2.5)").sql(['a"b', "c"], "x")
    assert sql == 'coalesce(CAST("a""b" AS VARCHAR) = \'it\'\'s\' AND TRY_CAST("c" AS DOUBLE) IN (1, 2.5), false)'


def test_blanks_at_the_ends_of_ids_make_no_new_users(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(csv_of([(f" {e[0]}\t" if n % 2 else e[0], *e[1:]) for n, e in enumerate(EVENTS)]))
    dataset = made(tmp_path, Table(interactions=str(path)))
    assert len(dataset.user_ids) == 6 and "18 ids had blanks" in notes(dataset)
    path.write_text(csv_of([("  ", *EVENTS[0][1:]), *EVENTS]))
    with pytest.raises(DataError, match="field user_id, row 1: empty is no id"):
        made(tmp_path, Table(interactions=str(path)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_marked_encoding_is_read(tmp_path, encoding, packed):
    text = csv_of([(f"Zoë {e[0]}", *e[1:]) for e in EVENTS]).encode(encoding)
    path = tmp_path / ("events.csv.gz" if packed else "events.csv")
    path.write_bytes(gzip.compress(text) if packed else text)
    assert made(tmp_path, Table(interactions=str(path))).user_ids[0] == "Zoë u0"


def test_latin_1_is_named_as_not_utf8_and_read_as_told(tmp_path):
    path = tmp_path / "events.csv"
    path.write_bytes(csv_of([(f"Zoë {e[0]}", *e[1:]) for e in EVENTS]).encode("latin-1"))
    with pytest.raises(DataError, match="--encoding latin-1"):
        made(tmp_path, Table(interactions=str(path)))
    dataset = made(tmp_path, Table(interactions=str(path), style=FileStyle(encoding="latin-1")))
    assert dataset.user_ids[0] == "Zoë u0"


def items_of(tmp_path, **settings):
    (tmp_path / "events.csv").write_text(csv_of())
    rows = [
        {"sku": f"i{n}", "name": f"Thing {n}", "average_rating": "4.5", "brand": "\n", "maker": "M",
         "description": json.dumps(["<b>nice</b>", f"part {n}"])}
        for n in range(7)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    source = Table(
        interactions=str(tmp_path / "events.csv"),
        items=str(tmp_path / "items.parquet"),
        item_columns={"item_id": "sku", "title": "name"},
        **settings,
    )
    return made(tmp_path, source)


def test_a_map_keeps_the_other_text_columns_and_leaves_out_what_may_hold_the_future(tmp_path):
    dataset = items_of(tmp_path)
    assert dataset.catalog.table.column_names == ["item_id", "title", "maker", "description"]
    assert dataset.catalog.table["description"][dataset.catalog.index("i3")].as_py() == "nice, part 3"
    assert "average_rating left out" in notes(dataset) and dataset.info["source"]["left_out"] == ["average_rating"]


def test_keep_brings_a_column_back_and_item_columns_choose(tmp_path):
    dataset = items_of(tmp_path, keep=("average_rating",), text_columns=("average_rating",))
    assert dataset.catalog.table.column_names == ["item_id", "title", "average_rating"]
    assert dataset.info["source"]["kept"] == ["average_rating"]


@pytest.mark.parametrize(
    ("name", "future"),
    [("average_rating", True), ("num_reviews", True), ("ratingNumber", True), ("price_history", True),
     ("popularity", True), ("also_bought", True), ("vote_count", True), ("sales rank", True), ("price", False),
     ("number_of_pages", False), ("description", False), ("country", False), ("brand", False)],
)  # fmt: skip
def test_columns_that_sum_up_events_are_told_by_name(name, future):
    assert may_hold_the_future(name) is future
