"""A served run follows the store's items, whatever columns its catalog has."""

import datetime
from dataclasses import replace

import pyarrow as pa
import pytest
from support import serving

from reckon.data import Catalog
from reckon.errors import DataError
from reckon.serving.models.catalogs import items_of
from reckon.serving.models.snapshot import Past
from reckon.serving.store.records import Item

GENRES = {f"b{number:02d}": ("sea", "crime", "calm")[number % 3] for number in range(12)}
DAYS = [datetime.date(2020, 1, day) for day in range(1, 13)]
COLUMNS = {
    "price": pa.array([1.5, float("nan"), None, *range(9)], pa.float64()),
    "pages": pa.array([None, *range(11)], pa.int64()),
    "new": pa.array([True, None] * 6),
    "day": pa.array(DAYS),
    "tags": pa.array([["a", "b"]] * 12),
    "kind": pa.array(["x", "y", None] * 4).dictionary_encode(),
    "nothing": pa.nulls(12),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return serving.untrained(tmp_path_factory.mktemp("run"), COLUMNS)


@pytest.fixture
def items(run):
    """What a new store gets of the run's catalog."""
    return [item for batch in items_of(run.model.catalog) for item in batch]


def test_a_catalog_that_came_from_the_run_itself_needs_no_encoding(run, items):
    assert run.follow(items) == 0


def test_what_a_new_store_gets_are_texts_numbers_and_truths(items):
    assert items[0].columns == {
        "genre": GENRES[items[0].id], "price": 1.5, "new": True, "kind": "x"
    }  # fmt: skip
    assert items[1].columns == {
        "genre": GENRES[items[1].id], "pages": 0, "kind": "y"
    }  # fmt: skip


def test_a_changed_cell_is_noticed_and_other_columns_stay_as_the_run_knows_them(run, items):
    changed = replace(items[3], columns={**items[3].columns, "price": 9.25})
    assert run.follow([*items[:3], changed, *items[4:]]) == 1
    record = run.model.catalog.record(3)
    assert record["price"] == 9.25 and record["day"] == DAYS[3] and record["tags"] == ["a", "b"]
    assert run.follow(items) == 1  # and back


def test_a_new_item_has_empty_cells_where_it_gives_none(run, items):
    assert run.follow([*items, Item("n1", "New", {"price": 2, "day": "2026-01-01", "unknown": 1})]) == 1
    record = run.model.catalog.record(run.snapshot.rows["n1"])
    assert record == dict.fromkeys(record) | {"item_id": "n1", "title": "New", "price": 2.0}


def test_items_that_the_store_lacks_are_hidden_and_come_back_with_it(run, items):
    assert run.follow(items[1:]) == 0
    assert items[0].id not in run.snapshot and items[1].id in run.snapshot
    run.follow(items)
    assert items[0].id in run.snapshot


@pytest.mark.parametrize("columns", [{"price": "much"}, {"pages": 1 << 70}, {"new": "yes"}, {"genre": 5}], ids=str)
def test_a_value_that_does_not_fit_its_column_is_refused_and_nothing_changes(run, items, columns):
    before = run.snapshot
    with pytest.raises(DataError, match=next(iter(columns))):
        run.put_items([Item("n2", "New", columns)])
    assert run.snapshot is before


def test_a_title_with_nul_is_kept_without_it():
    catalog = Catalog(pa.table({"item_id": ["a"], "title": ["x\x00y"], "note": ["\x00"]}))
    assert [item for batch in items_of(catalog) for item in batch] == [Item("a", "xy", {"note": ""})]


def test_a_history_leaves_out_what_the_run_does_not_know(run):
    example = run.example([Past("b01"), Past("no such item"), Past("b02")])
    assert [run.model.catalog.ids[event.item_index] for event in example.history] == ["b01", "b02"]


def test_batched_histories_are_read_as_single_ones(run):
    examples = [run.example([Past(f"b{item:02d}") for item in range(end)]) for end in (1, 4, 9)]
    together = run.direct(examples)
    for row, example in enumerate(examples):
        assert (together[row] - run.direct([example])[0]).abs().max() < 1e-3
