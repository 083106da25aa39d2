import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.rows import Rows
from reckon.errors import ConfigError, DataError

ITEMS = pa.table({"item_id": [0, 1, 2, 3, 4], "title": ["A", "B", "C", "D", "E"], "brand": ["", "x", "x", "y", ""]})
EVENTS = pa.table(
    {
        "user_id": ["u", "u", "u", "u", "v", "v"],
        "item_id": [0, 1, 2, 3, 1, 4],
        "position": pa.array([0, 1, 2, 3, 0, 1], pa.int32()),
        "origin": ["history", "history", "valid", "test", "history", "history"],
    }
)
VALID = pa.table({"user_id": ["u"], "history_item_id": [[0, 1]], "item_id": [2]})
TEST = pa.table({"user_id": ["u"], "history_item_id": [[0, 1, 2]], "item_id": [3]})


def folder(tmp_path, **tables):
    tables = {"items": ITEMS, "interactions": EVENTS, "valid": VALID, "test": TEST} | tables
    path = tmp_path / "given"
    path.mkdir()
    for name, table in tables.items():
        if table is not None:
            pq.write_table(table, path / f"{name}.parquet")
    return path


def ids(dataset, indices):
    return [dataset.catalog.ids[index] for index in indices]


def test_only_interactions_of_origin_history_train(tmp_path):
    dataset = Dataset.load(prepare(Rows(folder(tmp_path)), tmp_path / "out"))
    assert ids(dataset, dataset.events.item_index) == ["0", "1", "1", "4"]
    assert ids(dataset, dataset.examples("train").targets) == ["1", "4"]
    assert dataset.info["source"]["left_out_by_origin"] == {"test": 1, "valid": 1}
    [row] = dataset.examples("test")
    assert ids(dataset, [event.item_index for event in row.history]) == ["0", "1", "2"]
    assert dataset.catalog.ids[row.target] == "3"


def test_interactions_that_hold_the_targets_are_refused(tmp_path):
    with pytest.raises(DataError, match="training would see the answers"):
        prepare(Rows(folder(tmp_path, interactions=EVENTS.drop_columns("origin"))), tmp_path / "out")


def many(count, item, history=(0, 1)):
    """Rows of `count` users u0, u1, …, all with one target."""
    users = [f"u{n}" for n in range(count)]
    return pa.table({"user_id": users, "history_item_id": [list(history)] * count, "item_id": [item] * count})


def taken(count, *items):
    """Interactions: every user of `many` took the items in turn."""
    events = [(f"u{n}", item, place) for n in range(count) for place, item in enumerate(items)]
    columns = zip(("user_id", "item_id", "position"), zip(*events, strict=True), strict=True)
    return pa.table({name: list(values) for name, values in columns})


def test_each_split_is_judged_by_itself(tmp_path):
    """All targets of ten test rows are training items, none of thirty of validation: a quarter of all rows."""
    given = folder(tmp_path, interactions=taken(10, 0, 1, 3), valid=many(30, 4), test=many(10, 3))
    with pytest.raises(DataError, match="holds 100% of the targets of the test rows"):
        prepare(Rows(given), tmp_path / "out")


def test_repeats_of_the_history_are_no_leak(tmp_path):
    given = folder(tmp_path, interactions=taken(10, 0, 1), valid=many(10, 1), test=many(10, 1))
    dataset = Dataset.load(prepare(Rows(given), tmp_path / "out"))
    assert len(dataset.examples("test")) == 10


def test_missing_test_rows_are_an_error_or_a_choice(tmp_path):
    given = folder(tmp_path, test=None)
    with pytest.raises(DataError, match=r"test\.parquet: does not exist.*--without-test"):
        prepare(Rows(given), tmp_path / "out")
    dataset = Dataset.load(prepare(Rows(given, without_test=True), tmp_path / "out"))
    assert len(dataset.examples("valid")) == 1
    with pytest.raises(DataError, match="has no test rows"):
        dataset.examples("test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": ITEMS.slice(0, 3)}, r"test\.parquet, row 1, field item_id: item_id '3' is not among the items"),
        ({"valid": VALID.set_column(1, "history_item_id", [[[0, 9]]])}, r"valid\.parquet, row 1, field history"),
        ({"valid": VALID.set_column(1, "history_item_id", pa.array([[]], pa.list_(pa.int64())))}, "empty history"),
        ({"valid": VALID.set_column(1, "history_item_id", [["0 1"]])}, "is varchar, not a list"),
        ({"valid": VALID.drop_columns("history_item_id")}, "no column 'history_item_id'"),
        ({"valid": None}, r"valid\.parquet: does not exist"),
        ({"items": pa.concat_tables([ITEMS, ITEMS.slice(1, 1)])}, "row 6: item_id '1' was already in row 2"),
    ],
)
def test_bad_rows_are_named(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        prepare(Rows(folder(tmp_path, **change)), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("name", "valid", "test", "training"),
    [("amazon-industrial", 4532, 4533, 13_678), ("amazon-office", 4866, None, 6780)],
)
def test_real_rows_come_through_unchanged(real_data, tmp_path, name, valid, test, training):
    given = real_data(name)
    dataset = Dataset.load(prepare(Rows(given, without_test=test is None), tmp_path / "out"))
    assert len(dataset.events.item_index) == training
    for split, count in (("valid", valid), ("test", test)):
        if count is None:
            continue
        examples, published = dataset.examples(split), pq.read_table(given / f"{split}.parquet").to_pylist()
        assert len(examples) == len(published) == count
        for row in range(0, count, 50):
            assert ids(dataset, examples.history(row)) == [str(item) for item in published[row]["history_item_id"]]
            assert dataset.catalog.ids[examples.targets[row]] == str(published[row]["item_id"])


def test_given_rows_keep_their_ids(tmp_path):
    with pytest.raises(ConfigError, match="relabel = 0: given rows are evaluated as they are given"):
        prepare(Rows(folder(tmp_path)), tmp_path / "out", relabel=0)
    assert not (tmp_path / "out").exists()
