import json
import os

import pyarrow as pa
import pytest

from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.errors import DataError

ITEMS = pa.table({"item_id": ["a", "b", "c", "d"], "title": ["A", "B", "C", "D"]})
EVENTS = pa.table({"user_id": ["u"] * 4, "item_id": ["a", "b", "c", "d"], "timestamp": [1, 2, 3, 4]})
ROWS = pa.table(
    {"split": ["valid", "test"], "user_id": ["u", "u"], "history": [["a"], ["b", "c"]], "item_id": ["b", "d"]}
)
WORDS = {"item": "book", "items": "books", "action": "read"}


def write(out, items=ITEMS, events=EVENTS, rows=None, split="leave-one-out", words=WORDS, **more):
    return write_dataset(
        out,
        items,
        events,
        rows=rows,
        source={"name": "test"},
        split=split,
        words=words,
        counts=[],
        tie_rule="none",
        **more,
    )


def contents(folder):
    return sorted(os.listdir(folder))


def test_what_is_written_can_be_loaded(tmp_path):
    dataset = Dataset.load(write(tmp_path / "out", rows=ROWS, split="given"))
    [row] = dataset.examples("test")
    assert [dataset.catalog.ids[event.item_index] for event in row.history] == ["b", "c"]
    assert dataset.catalog.ids[row.target] == "d"
    assert dataset.info["totals"] == {"items": 4, "users": 1, "interactions": 4, "rows": {"valid": 1, "test": 1}}
    assert dataset.words == WORDS


def test_the_same_input_gives_the_same_directory(tmp_path):
    shuffled = ITEMS.take([2, 0, 3, 1])
    first, second = (write(tmp_path / name, items=items) for name, items in (("1", ITEMS), ("2", shuffled)))
    for name in ("items.parquet", "interactions.parquet", "dataset.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_item_order_follows_neither_id_nor_input(tmp_path):
    ids = [f"{number:04d}" for number in range(200)]
    dataset = Dataset.load(
        write(
            tmp_path / "out",
            items=pa.table({"item_id": ids, "title": ids}),
            events=pa.table({"user_id": ["u"] * 4, "item_id": ids[:4]}),
        )
    )
    assert sorted(dataset.catalog.ids) == ids
    early = sum(int(item_id) < 100 for item_id in dataset.catalog.ids[:100])
    assert 35 < early < 65


def test_a_checksum_changes_with_the_data(tmp_path):
    first = Dataset.load(write(tmp_path / "1"))
    second = Dataset.load(write(tmp_path / "2", events=EVENTS.slice(0, 3)))
    assert first.checksum != second.checksum


def test_interactions_may_come_in_batches(tmp_path):
    batched = Dataset.load(write(tmp_path / "1", events=EVENTS.to_reader(max_chunksize=1)))
    whole = Dataset.load(write(tmp_path / "2"))
    assert batched.events.item_index.tolist() == whole.events.item_index.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"items": pa.table({"item_id": ["a", "b", "a"], "title": ["A", "B", "C"]})}, "'a': occurs 2 times"),
        ({"items": ITEMS.slice(0, 2)}, "row 3: item_id 'c' is not among the items"),
        ({"items": ITEMS.drop_columns("title")}, "no column 'title'"),
        ({"events": EVENTS.slice(0, 0)}, "there are none"),
        ({"events": EVENTS.set_column(2, "timestamp", pa.array([1, 2, None, 4]))}, "empty values"),
        ({"events": EVENTS.set_column(2, "timestamp", pa.array([1.5, 2, 3, 4]))}, "whole seconds"),
        ({"words": {"item": "book"}}, "words.items: is missing"),
        ({"split": "given"}, "exactly when"),
        ({"rows": ROWS, "split": "given", "items": ITEMS.slice(0, 3), "events": EVENTS.slice(0, 2)}, "rows: row 2"),
    ],
)
def test_a_broken_table_is_refused_and_leaves_nothing(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path / "deep" / "out", **change)
    assert contents(tmp_path) == []


def test_a_failure_in_the_middle_leaves_nothing(tmp_path):
    def batches():
        yield EVENTS.to_batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "out", events=pa.RecordBatchReader.from_batches(EVENTS.schema, batches()))
    assert contents(tmp_path) == []


def test_an_existing_directory_is_only_replaced_when_asked(tmp_path):
    out = write(tmp_path / "out")
    with pytest.raises(DataError, match="not empty"):
        write(out)
    write(out, words=WORDS | {"item": "film"}, overwrite=True)
    assert json.loads((out / "dataset.json").read_text())["words"]["item"] == "film"
    assert contents(tmp_path) == ["out"]


def test_a_failed_replacement_keeps_the_old_directory(tmp_path):
    out = write(tmp_path / "out")
    before = (out / "dataset.json").read_bytes()
    with pytest.raises(DataError):
        write(out, items=ITEMS.slice(0, 2), overwrite=True)
    assert (out / "dataset.json").read_bytes() == before
    assert contents(tmp_path) == ["out"]


def test_a_folder_that_is_no_data_set_is_never_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="not a dataset directory"):
        write(tmp_path / "out", overwrite=True)
    assert contents(tmp_path / "out") == ["thesis.txt"]
