"""Files that lost rows, hung or ended in a traceback: each is read whole now, or refused in one line."""

import json
import os
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.files import FileStyle
from reckon.data.sources.header import MOST_COLUMNS, check_names, names_in
from reckon.data.sources.movielens import MovieLens
from reckon.data.sources.table import Table
from reckon.errors import ConfigError, DataError

START = 1_500_000_000
NAMES = ("user_id", "item_id", "rating", "timestamp")
EVENTS = [
    (f"u{user}", f"i{(user + step) % 7}", 1 + step % 5, START + 100 * user + step)
    for user in range(6)
    for step in range(6)
]


def text_of(separator=",", events=EVENTS, end="\n", names=NAMES):
    return end.join(separator.join(map(str, row)) for row in (names, *events)) + end


def write(tmp_path, text, name="events.csv"):
    (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return str(tmp_path / name)


def made(tmp_path, source, **settings):
    return Dataset.load(prepare(source, tmp_path / "out", overwrite=True, **settings))


def rows_of(dataset):
    return dataset.info["counts"][0]["interactions"]


# Rows that were lost


def test_a_zip_with_two_tables_of_ratings_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        for folder in "ab":
            archive.writestr(f"{folder}/ratings.csv", "userId,movieId,rating,timestamp\n1,1,1,1500000000\n")
    with pytest.raises(DataError, match=r"holds a/ratings\.csv and b/ratings\.csv"):
        made(tmp_path, MovieLens(tmp_path / "ml.zip"))


@pytest.mark.parametrize("position", ["1.5", "1e3", "0x10", "1_000", "nan"])
def test_a_position_that_is_no_whole_number_is_refused(tmp_path, position):
    path = write(tmp_path, f"user_id,item_id,position\nu,a,1\nu,b,{position}\n")
    with pytest.raises(DataError, match=f"'{position}' is not a whole number"):
        made(tmp_path, Table(interactions=path), split="leave-one-out")


def test_a_position_written_with_a_point_is_a_whole_number(tmp_path):
    events = [(user, item, f"{place}.0") for user, item, _, place in EVENTS]
    path = write(tmp_path, text_of(events=events, names=("user_id", "item_id", "position")))
    assert rows_of(made(tmp_path, Table(interactions=path), split="leave-one-out")) == len(EVENTS)


def items(tmp_path, *columns):
    return write(tmp_path, text_of(events=[(f"i{n}", f"T{n}", f"v{n}") for n in range(7)], names=columns), "items.csv")


def test_an_item_column_called_line_is_kept(tmp_path):
    source = Table(interactions=write(tmp_path, text_of()), items=items(tmp_path, "item_id", "title", "line"))
    catalog = made(tmp_path, source).catalog
    assert catalog.record(catalog.index("i3"))["line"] == "v3"


@pytest.mark.parametrize("name", ["reckon_train_count", "Reckon_Row"])
def test_an_item_column_with_a_name_of_reckon_is_refused_and_can_be_renamed(tmp_path, name):
    source = dict(interactions=write(tmp_path, text_of()), items=items(tmp_path, "item_id", "title", name))
    with pytest.raises(DataError, match=f"--item-map NAME={name}"):
        made(tmp_path, Table(**source))
    assert "times" in made(tmp_path, Table(**source, item_columns={"times": name})).catalog.table.column_names


def test_a_json_key_behind_the_sample_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("reckon.data.sources.files.JSON_SAMPLE", 20)
    rows = [dict(zip(NAMES, event, strict=True)) for event in EVENTS]
    for row in rows[:-5]:
        del row["rating"]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "events.jsonl")
    assert made(tmp_path, Table(interactions=path)).events.rating is not None


def test_a_column_that_only_the_second_part_has_is_read(tmp_path):
    rows = [dict(zip(NAMES, event, strict=True)) for event in EVENTS]
    (tmp_path / "parts").mkdir()
    first = [{name: value for name, value in row.items() if name != "rating"} for row in rows[:18]]
    for name, part in (("a", first), ("b", rows[18:])):
        pq.write_table(pa.Table.from_pylist(part), tmp_path / "parts" / f"{name}.parquet")
    dataset = made(tmp_path, Table(interactions=str(tmp_path / "parts")))
    assert rows_of(dataset) == len(EVENTS) and dataset.events.rating is not None


def test_a_last_row_whose_quote_does_not_end_is_refused(tmp_path):
    path = write(tmp_path, text_of() + f'u1,i1,3,"{START}')
    with pytest.raises(DataError, match="unterminated quote"):
        made(tmp_path, Table(interactions=path))


# Headers


@pytest.mark.parametrize(
    ("line", "names"),
    [('a,"b ""c"", d",e', ("a", 'b "c", d', "e")), ('"a"x,b', ("ax", "b")), ("a::b", ("a::b",)), (",", ("", ""))],
)
def test_a_header_is_split_as_csv_files_are_written(line, names):
    assert names_in(line, ",", True, "x") == names


def test_a_header_splits_by_a_separator_of_two_characters_and_fields_have_any_length():
    assert names_in("user::item", "::", True, "x") == ("user", "item")
    assert names_in(f'"{"x" * 200_000}",b', ",", False, "x") == ("column1", "column2")


def test_names_are_looked_at_once_each():
    class Counted(str):
        looked = 0

        def lower(self):
            Counted.looked += 1
            return str.lower(self)

    check_names([Counted(f"c{number}") for number in range(MOST_COLUMNS)], "x")
    assert Counted.looked == MOST_COLUMNS


def test_half_a_million_columns_are_refused_in_one_line(tmp_path):
    path = write(tmp_path, ",".join(f"c{number}" for number in range(500_000)) + "\n1\n")
    with pytest.raises(DataError, match="has 500,000 columns, more than 2,000"):
        made(tmp_path, Table(interactions=path))


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_columns_that_differ_in_case_alone_are_refused(tmp_path, form):
    path, names, row = tmp_path / f"events.{form}", (*NAMES, "USER_ID"), (*EVENTS[0], "x")
    if form == "csv":
        write(tmp_path, text_of(names=names, events=[row]))
    elif form == "jsonl":
        write(tmp_path, json.dumps(dict(zip(names, row, strict=True))), path.name)
    else:
        pq.write_table(pa.table([[value] for value in row], names=list(names)), path)
    with pytest.raises(DataError, match="'USER_ID' and 'user_id', which differ in case alone"):
        made(tmp_path, Table(interactions=str(path)))


# What ended in a traceback


@pytest.mark.parametrize("rating", ["1e39", "-1e39", "1e308"])
def test_a_rating_beyond_every_scale_is_refused(tmp_path, rating):
    with pytest.raises(DataError, match=f"'{rating}' is too large"):
        made(tmp_path, Table(interactions=write(tmp_path, text_of() + f"u0,i0,{rating},{START}\n")))


@pytest.mark.parametrize(("typed", "separator"), [("::", "::"), (r"\t", "\t"), ("\t", "\t"), ("", ","), ("§", "§")])
def test_a_separator_is_read_as_it_was_typed(tmp_path, typed, separator):
    source = Table(interactions=write(tmp_path, text_of(separator)), style=FileStyle(delimiter=typed))
    assert rows_of(made(tmp_path, source)) == len(EVENTS)


@pytest.mark.parametrize("typed", ["::::::", "\n", '"', "\0"])
def test_what_cannot_separate_fields_is_refused(tmp_path, typed):
    with pytest.raises(ConfigError, match="--delimiter"):
        made(tmp_path, Table(interactions=write(tmp_path, text_of()), style=FileStyle(delimiter=typed)))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("other", ["\r\n", "\n", "\r"])
def test_mixed_line_ends_are_read(tmp_path, end, other):
    text = text_of(end=end).replace(end, other, 9)
    assert rows_of(made(tmp_path, Table(interactions=write(tmp_path, text)))) == len(EVENTS)


def spoiled(kind, data):
    local, central = data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")
    if kind == "encrypted":
        data[local + 6] |= 1
        data[central + 8] |= 1
    elif kind == "method":
        data[local + 8] = data[central + 10] = 99
    else:
        data[local + 60 : local + 80] = b"\xff" * 20
    return data


@pytest.mark.parametrize("kind", ["encrypted", "method", "not a sound zip"])
def test_a_member_that_cannot_be_unpacked_is_refused(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", text_of(events=EVENTS * 9))
    (tmp_path / "ml.zip").write_bytes(spoiled(kind, bytearray((tmp_path / "ml.zip").read_bytes())))
    with pytest.raises(DataError, match=kind):
        made(tmp_path, MovieLens(tmp_path / "ml.zip"))


def test_times_with_a_zone_are_shown_without_another_library(tmp_path):
    times = pa.array([event[3] for event in EVENTS], pa.timestamp("s", tz="Europe/Berlin"))
    columns = {"user_id": [e[0] for e in EVENTS], "item_id": [e[1] for e in EVENTS], "timestamp": times}
    pq.write_table(pa.table(columns), tmp_path / "events.parquet")
    with pytest.raises(DataError, match=r"'2017-07-14 02:40:00\+00' is not a number"):
        made(tmp_path, Table(interactions=str(tmp_path / "events.parquet"), columns={"rating": "timestamp"}))


@pytest.mark.parametrize("name", ["x" * 245, "x" * 300, "below/events.csv/out", "fifo", "a\udcff"])
def test_an_output_that_cannot_be_is_refused_and_nothing_stays(tmp_path, name):
    (tmp_path / "below").mkdir()
    path = write(tmp_path / "below", text_of())
    os.mkfifo(tmp_path / "fifo")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((DataError, OSError)):  # the command line makes one line of either
        prepare(Table(interactions=path), tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("live", [True, False])
def test_a_link_as_output_stays_a_link_to_what_is_written(tmp_path, live):
    if live:
        (tmp_path / "there").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "there")
    made(tmp_path, Table(interactions=write(tmp_path, text_of())))
    assert (tmp_path / "out").is_symlink() and (tmp_path / "there" / "dataset.json").exists()


# Addresses


@pytest.mark.parametrize("scheme", ["postgresql", "POSTGRESQL", "postgres", "postgresql+psycopg", "mysql", "https"])
@pytest.mark.parametrize("secret", ["S3cret", "S3cret x", "%zzS3cret", "a/S3cret", "S3cret#", "@S3cret"])
@pytest.mark.parametrize("place", ["[::1/db", "localhost:1/db", "localhost:x/db", "127.0.0.1:1/?password=S3cret"])
def test_the_password_of_an_address_is_in_no_message(tmp_path, scheme, secret, place):
    pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'reckon-recsys[postgres]'")
    source = Table(interactions=f"{scheme}://user:{secret}@{place}", table="t")
    with pytest.raises(DataError) as told:
        made(tmp_path, source)
    assert "S3cret" not in str(told.value) and "zz" not in str(told.value)


def test_parquet_with_a_column_whose_name_is_not_utf8_is_refused_in_one_line(tmp_path):
    file = tmp_path / "orders.parquet"
    pq.write_table(pa.table({"user_id": ["u"], "item_id": ["a"], "timestamp": [START]}), file)
    file.write_bytes(file.read_bytes().replace(b"item_id", b"item\xeeid"))
    with pytest.raises(DataError, match="not readable Parquet"):
        made(tmp_path, Table(interactions=str(file)))


def test_a_data_set_with_such_a_column_is_refused_in_one_line(tmp_path):
    dataset = made(tmp_path, Table(interactions=write(tmp_path, text_of())))
    file = dataset.path / "items.parquet"
    file.write_bytes(file.read_bytes().replace(b"item_id", b"item\xeeid"))
    with pytest.raises(DataError, match=r"items\.parquet.* not readable Parquet"):
        Dataset.load(dataset.path, verify=False)
