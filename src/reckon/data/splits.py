"""Splits: which events are targets of training, validation and test.

Entry point: `split_of_events`. Every event that has at least one earlier event of its user can be a target.

- `temporal` (default, as in the papers): targets ordered by time over all users, the first 80 % train, the next
  10 % validate, the last 10 % test. Cuts fall between distinct times: a time never lies in two splits; all
  events of a cut's time go to the later split.
- `leave-one-out`: each user's last event is test, the one before validation. Users with fewer than three events
  only train.

A history always holds every earlier event of the user, whatever split those events fall in: at test time the
recommender may read what happened before, never what comes after.
"""

from typing import Literal

import numpy as np

from reckon.data.examples import IntArray
from reckon.errors import DataError

Split = Literal["train", "valid", "test"]
Protocol = Literal["temporal", "leave-one-out", "given"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
NO_TARGET = -1
TRAIN_SHARE, VALID_UNTIL = 0.8, 0.9  # of the targets of a temporal split, in the order of time


def split_of_events(protocol: Protocol, user_index: IntArray, time: IntArray | None) -> IntArray:
    """Say for every event in which split it is a target.

    Args:
        protocol: `temporal` or `leave-one-out`.
        user_index: [E] users, each user's events in one contiguous run, oldest first.
        time: [E] seconds since 1970, or None where only the order is known.

    Returns:
        [E] int8: 0 train, 1 valid, 2 test, -1 for a user's first event, which has no history.

    Raises:
        DataError: `temporal` without times, or so few distinct times that a split is empty.
    """
    position, remaining = _positions(user_index)
    split = np.zeros(len(user_index), dtype=np.int8)
    if protocol == "leave-one-out":
        long_enough = position + remaining + 1 >= 3
        split[long_enough & (remaining == 0)] = 2
        split[long_enough & (remaining == 1)] = 1
    elif time is None:
        raise DataError(
            "interactions",
            "a temporal split needs timestamps and this data set knows only the order",
            "use the split leave-one-out, or map a timestamp column",
        )
    else:
        targets = np.sort(time[position > 0])
        if len(targets) == 0:
            raise DataError(
                "interactions",
                "no user has two interactions, so nothing can be predicted",
                "lower the filters or bring more data",
            )
        first_cut, second_cut = (targets[int(share * len(targets))] for share in (TRAIN_SHARE, VALID_UNTIL))
        split[time >= first_cut] = 1
        split[time >= second_cut] = 2
    split[position == 0] = NO_TARGET
    for code, name in enumerate(SPLITS):
        if not (split == code).any():
            raise DataError(
                "interactions",
                f"the {protocol} split leaves no {name} targets",
                "bring more data or choose another split",
            )
    return split


def _positions(user_index: IntArray) -> tuple[IntArray, IntArray]:
    """For every event, how many events of its user come before it and after it."""
    events = np.arange(len(user_index))
    starts = np.flatnonzero(np.r_[True, user_index[1:] != user_index[:-1]])
    lengths = np.diff(np.r_[starts, len(user_index)])
    position = events - np.repeat(starts, lengths)
    return position, np.repeat(lengths, lengths) - position - 1
