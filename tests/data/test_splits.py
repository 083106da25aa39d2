import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import shelf

from reckon.data.splits import split_of_events
from reckon.errors import DataError


def test_leave_one_out_by_hand():
    users = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    # User 0: first event, train, valid, test. User 1 is too short and only trains. User 2: first, valid, test.
    assert split_of_events("leave-one-out", users, None).tolist() == [-1, 0, 1, 2, -1, 0, -1, 1, 2]


def test_temporal_split_is_eight_one_one_of_the_targets():
    users = np.repeat([0, 1], 11)
    time = np.concatenate([np.arange(0, 22, 2), np.arange(1, 23, 2)])
    split = split_of_events("temporal", users, time)
    assert [(split == code).sum() for code in (-1, 0, 1, 2)] == [2, 16, 2, 2]
    assert time[split == 0].max() < time[split == 1].min() <= time[split == 1].max() < time[split == 2].min()


def test_a_time_never_lies_in_two_splits():
    users = np.zeros(21, dtype=int)
    time = np.array([0, *range(1, 15), *[15] * 3, 16, 17, 18])
    split = split_of_events("temporal", users, time)
    assert len({split[i] for i in np.flatnonzero(time == 15)}) == 1


def test_temporal_needs_times():
    with pytest.raises(DataError, match="leave-one-out"):
        split_of_events("temporal", np.zeros(5, dtype=int), None)


def test_a_split_that_would_be_empty_is_refused():
    with pytest.raises(DataError, match="no train targets"):
        split_of_events("temporal", np.zeros(5, dtype=int), np.zeros(5, dtype=int))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40)), min_size=20, max_size=120))
def test_every_split_is_later_than_the_one_before(events):
    events = sorted(events)
    users, time = np.array(events).T
    try:
        split = split_of_events("temporal", users, time)
    except DataError:
        return
    for earlier, later in ((0, 1), (1, 2)):
        assert time[split == earlier].max() < time[split == later].min()
    first = np.r_[True, users[1:] != users[:-1]]
    assert (split[first] == -1).all() and (split[~first] >= 0).all()


def test_everything_taken_before_is_seen_also_before_the_window(tmp_path):
    dataset = shelf.dataset(tmp_path / "d", users=3, length=6)
    for split in ("train", "valid", "test"):
        whole, short = dataset.examples(split, window=50), dataset.examples(split, window=2)
        rows = np.arange(len(short))[::-1]
        for row, example in enumerate(short.subset(rows)):
            assert len(example.history) <= 2
            everything = whole.history(int(rows[row])).tolist()
            assert example.seen.tolist() == short.seen(int(rows[row])).tolist() == everything
