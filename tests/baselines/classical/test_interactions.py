"""Baselines are fitted to training events alone, and weight the events of a history."""

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from support import shelf

from reckon.baselines.baseline import validation_rows
from reckon.baselines.classical.interactions import (
    check_decay,
    history_weights,
    sparse_matrix,
    sparse_tensors,
    training_matrix,
    training_sequences,
)
from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.errors import ConfigError, DataError


def written(path, events, split, rows=None):
    """A data set of five items; events are (user, item) or (user, item, time)."""
    items = [f"i{number}" for number in range(5)]
    table = {"user_id": [event[0] for event in events], "item_id": [f"i{event[1]}" for event in events]}
    if len(events[0]) == 3:
        table["timestamp"] = [event[2] for event in events]
    write_dataset(
        path,
        pa.table({"item_id": items, "title": items}),
        pa.table(table),
        source={"name": "test"},
        split=split,
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
        rows=rows,
    )
    return Dataset.load(path)


def named(data, sequences):
    return [[data.catalog.ids[item] for item in sequence] for sequence in sequences]


def test_leave_one_out_hides_the_last_two_events_of_each_user(tmp_path):
    data = shelf.dataset(tmp_path / "data", users=2, length=5)
    assert named(data, training_sequences(data)) == [["b00", "b01", "b02"], ["b01", "b02", "b03"]]


def test_a_temporal_split_hides_everything_from_the_first_validation_target_on(tmp_path):
    events = [("a", n % 5, n) for n in range(10)] + [("b", n % 5, 10 + n) for n in range(10)]
    data = written(tmp_path / "data", events, "temporal")
    sequences = training_sequences(data)
    begin = data.examples("valid").times.min()
    assert [len(sequence) for sequence in sequences] == [10, begin - 10]


def test_given_rows_never_become_training_data(tmp_path):
    rows = pa.table(
        {"split": ["valid", "test"], "user_id": ["x", "y"], "history": [["i3"], ["i4"]], "item_id": ["i4", "i3"]}
    )
    data = written(tmp_path / "data", [("a", 0), ("a", 1), ("b", 2), ("a", 2)], "given", rows)
    assert named(data, training_sequences(data)) == [["i0", "i1", "i2"], ["i2"]]
    untouched = data.catalog.indices(["i3", "i4"])
    assert training_matrix(data)[:, untouched].nnz == 0


def test_the_weight_of_an_item_decays_with_the_events_since_its_last_one():
    weights = history_weights([np.array([1, 2, 1, 3]), np.array([], dtype=np.int64)], 5, decay=0.5)
    assert weights.toarray().tolist() == [[0, 0.5, 0.125 * 2, 1, 0], [0] * 5]


def test_without_decay_a_history_is_a_set():
    assert history_weights([np.array([1, 2, 1])], 3).toarray().tolist() == [[0, 1, 1]]


@pytest.mark.parametrize("decay", [0.0, 1.1, -1.0, float("nan")])
def test_a_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ConfigError, match="decay"):
        check_decay(decay)


def test_a_sparse_matrix_is_equal_after_storing_it():
    matrix = sp.csr_matrix(np.array([[0, 1.5, 0], [0, 0, 0]], dtype=np.float32))
    assert (sparse_matrix("m", sparse_tensors("m", matrix)) != matrix).nnz == 0


def test_baselines_that_need_validation_rows_refuse_data_without_them(tmp_path, monkeypatch):
    data = shelf.dataset(tmp_path / "data")
    nobody = data.examples("valid").subset([])
    monkeypatch.setattr(Dataset, "examples", lambda self, split, window=20: nobody)
    with pytest.raises(DataError, match="has no validation rows"):
        validation_rows(data, 100, 0)
