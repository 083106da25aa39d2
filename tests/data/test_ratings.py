import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rating_laws import Laws

from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.data.ratings import (
    Rated,
    Scale,
    rating_context,
    rating_examples,
    rating_scale,
    training_ratings,
)
from reckon.errors import DataError

# user, item, time, rating: b rated x at 5; a rates x at 10; both rate y at 10, and a once more at 12
EVENTS = [
    ("a", "w", 1, 5.0),
    ("a", "x", 10, 2.0),
    ("a", "y", 10, 3.0),
    ("a", "y", 12, 4.0),
    ("b", "x", 5, 1.0),
    ("b", "y", 10, 5.0),
    ("b", "z", 20, None),
    ("b", "w", 30, 4.0),
]


def write(path, events=EVENTS, split="leave-one-out", timed=True, rated=True, texts=True, **settings):
    columns = {"user_id": [e[0] for e in events], "item_id": [e[1] for e in events]}
    if timed:
        columns["timestamp"] = [e[2] for e in events]
    if rated:
        columns["rating"] = pa.array([e[3] for e in events], pa.float32())
    if texts:
        columns["summary"] = [f"s{n}" for n in range(len(events))]
        columns["review"] = [f"t{n}" if n % 2 else None for n in range(len(events))]
    items = sorted({e[1] for e in events})
    write_dataset(
        path,
        pa.table({"item_id": items, "title": items}),
        pa.table(columns),
        source={"name": "test"},
        split=split,
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
        **settings,
    )
    return Dataset.load(path)


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "data")


def find(dataset, user, item, time):
    for split in ("train", "valid", "test"):
        for example in rating_examples(dataset, split):
            if (example.user_id, dataset.catalog.ids[example.item_index], example.time) == (user, item, time):
                return example
    raise AssertionError("no such example")


def test_an_example_shows_what_is_strictly_older_and_the_reviews_of_it(data):
    example = find(data, "a", "x", 10)
    w, x = data.catalog.index("w"), data.catalog.index("x")
    assert example.user_history == (Rated("a", w, 5.0, 1, "s0", ""),)
    assert example.item_history == (Rated("b", x, 1.0, 5, "s4", ""),)
    assert (example.user_mean, example.item_mean, example.rating, example.time) == (5.0, 1.0, 2.0, 10)


def test_events_of_the_same_time_are_not_seen(data):
    example = find(data, "a", "y", 10)
    assert [rated.time for rated in example.user_history] == [1]
    assert example.item_history == () and example.item_mean is None


def test_the_item_history_is_by_others_and_so_is_the_mean(data):
    example = find(data, "a", "y", 12)
    assert [(rated.user_id, rated.rating) for rated in example.item_history] == [("b", 5.0)]
    assert example.item_mean == 5.0
    assert [rated.rating for rated in example.user_history] == [5.0, 2.0, 3.0]


def test_means_are_over_everything_and_windows_over_the_latest(data):
    examples = rating_examples(data, "test", window=1, item_window=0)
    example = next(example for example in examples if example.user_id == "a")
    assert [rated.rating for rated in example.user_history] == [3.0]
    assert example.user_mean == pytest.approx(10 / 3)
    assert example.item_history == () and example.item_mean == 5.0


def test_events_without_a_rating_are_neither_targets_nor_context(data):
    assert rating_examples(data, "valid").skipped == 1  # b, z
    example = find(data, "b", "w", 30)
    assert [rated.rating for rated in example.user_history] == [1.0, 5.0]


def test_a_user_whose_earlier_ratings_share_the_targets_time_has_no_history(tmp_path):
    dataset = write(tmp_path / "data", [("a", item, 1, 2.0) for item in "wxyz"])
    for split in ("train", "valid", "test"):
        examples = rating_examples(dataset, split)
        assert examples[0].user_history == () and examples[0].user_mean is None
        assert np.isnan(examples.user_means).all() and np.isnan(examples.item_means).all()


def test_data_without_texts_has_empty_ones(tmp_path):
    example = find(write(tmp_path / "data", texts=False), "a", "x", 10)
    assert {(rated.summary, rated.text) for rated in example.user_history + example.item_history} == {("", "")}


def test_data_without_times_shows_the_users_past_and_no_item_history(tmp_path):
    dataset = write(tmp_path / "data", timed=False)
    examples = rating_examples(dataset, "test")
    assert [[rated.rating for rated in example.user_history] for example in examples] == [[5.0, 2.0, 3.0], [1.0, 5.0]]
    assert all(example.item_history == () and example.item_mean is None for example in examples)
    assert all(example.time is None for example in examples)


@pytest.mark.parametrize("events", [EVENTS, [(*event[:3], None) for event in EVENTS]], ids=["absent", "empty"])
def test_data_without_ratings_is_one_clear_error(tmp_path, events):
    dataset = write(tmp_path / "data", events, rated=events is not EVENTS)
    for ask in (lambda data: rating_examples(data, "test"), rating_scale, training_ratings):
        with pytest.raises(DataError, match=r"has no ratings. Fix: .*--map rating=COLUMN"):
            ask(dataset)


def test_given_rows_have_no_ratings(tmp_path):
    rows = pa.table({"split": ["test"], "user_id": ["c"], "history": [["x"]], "item_id": ["y"]})
    dataset = write(tmp_path / "data", split="given", rows=rows)
    assert len(rating_examples(dataset, "train")) == 5
    with pytest.raises(DataError, match="given test rows have no ratings"):
        rating_examples(dataset, "test")


def test_reviews_are_found_where_the_file_is_not_in_order_of_users(tmp_path):
    dataset = write(tmp_path / "data", [EVENTS[n] for n in (4, 0, 1, 5, 2, 3, 6, 7)])
    assert [rated.summary for rated in find(dataset, "a", "y", 12).user_history] == ["s1", "s2", "s4"]


def test_training_ratings_hold_first_events_and_nothing_held_out(data):
    ratings = training_ratings(data)
    assert ratings.rating.tolist() == [5.0, 2.0, 1.0, 5.0]
    assert data.user_ids[ratings.user_index].tolist() == ["a", "a", "b", "b"]


def test_arrays_say_what_the_examples_say_and_subsets_keep_them_together(data):
    examples = rating_examples(data, "train")
    for rows in (examples, examples.subset([len(examples) - 1, 0]), examples.sample(1, seed=0)):
        for row, example in enumerate(rows):
            assert (rows.user_ids[row], rows.item_indices[row]) == (example.user_id, example.item_index)
            assert rows.ratings[row] == example.rating
            assert np.nan_to_num(rows.user_means[row]) == (example.user_mean or 0)
            assert np.nan_to_num(rows.item_means[row]) == (example.item_mean or 0)


def test_a_context_now_sees_everything(data):
    example = rating_context(data, "a", data.catalog.index("y"))
    assert [rated.rating for rated in example.user_history] == [5.0, 2.0, 3.0, 4.0]
    assert [rated.user_id for rated in example.item_history] == ["b"]
    assert np.isnan(example.rating) and example.time is None


def test_a_context_at_a_time_is_the_example_of_that_time(data):
    example = find(data, "a", "y", 12)
    then = rating_context(data, "a", example.item_index, time=12)
    assert (then.user_history, then.item_history) == (example.user_history, example.item_history)
    assert (then.user_mean, then.item_mean, then.time) == (example.user_mean, example.item_mean, 12)


def test_a_context_of_somebody_else_uses_the_history_given(data):
    history = [Rated("", data.catalog.index("x"), rating, None) for rating in (1.0, 2.0, 5.0)]
    example = rating_context(data, history, data.catalog.index("y"), window=2)
    assert [rated.rating for rated in example.user_history] == [2.0, 5.0]
    assert example.user_mean == pytest.approx(8 / 3) and example.user_id == ""
    assert [rated.rating for rated in example.item_history] == [3.0, 5.0, 4.0]
    assert rating_context(data, [], 0).user_mean is None


def test_an_unknown_user_is_an_error(data):
    with pytest.raises(DataError, match="user 'zz': is not in the data set"):
        rating_context(data, "zz", 0)


def test_the_scale_is_the_recorded_one_or_that_of_all_ratings(tmp_path):
    assert rating_scale(write(tmp_path / "a")) == Scale(1, 5, 1)
    recorded = write(tmp_path / "b", rating_scale=Scale(0, 10, 1))
    assert recorded.info["rating_scale"] == {"lowest": 0, "highest": 10, "step": 1}
    assert rating_scale(recorded) == Scale(0, 10, 1)


event = st.tuples(
    st.sampled_from("abc"), st.sampled_from("wxyz"), st.integers(0, 6), st.sampled_from([None, 1.0, 2.5, 3.7, 5.0])
)


@settings(max_examples=60)
@given(
    events=st.lists(event, max_size=25), timed=st.booleans(), window=st.integers(0, 4), item_window=st.integers(0, 4)
)
def test_no_example_shows_anything_that_is_not_strictly_older(events, timed, window, item_window):
    events = [*events, *(("d", "w", time, 2.5) for time in range(4))]
    events.sort(key=lambda event: (event[0], event[2]))
    with tempfile.TemporaryDirectory() as folder:
        dataset = write(Path(folder) / "data", events, timed=timed)
        laws = Laws(dataset)
        for split in ("train", "valid", "test"):
            examples = rating_examples(dataset, split, window, item_window)
            assert len(examples) + examples.skipped == len(dataset.examples(split))
            for example in examples:
                laws.check(example, window, item_window)


def test_what_is_visible_of_either_side_are_the_older_ratings_of_the_log(data):
    examples, log = rating_examples(data, "train", 0, 0), data.rating_log
    for row in range(len(examples)):
        user, item = examples.user_index[row], examples.item_indices[row]
        older = log.time < examples.times[row]
        start, end = examples.visible_of_user[row]
        assert sorted(log.by_user.order[start:end]) == np.flatnonzero(older & (log.user_index == user)).tolist()
        start, end, own = examples.visible_of_item[row]
        seen = log.by_item.order[start:end]
        assert sorted(seen) == np.flatnonzero(older & (log.item_index == item)).tolist()
        assert own == (log.user_index[seen] == user).sum()
