"""What every rating example must be, worked out anew from the written file: slow, plain, and sharing no code."""

import math
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq


def written(path):
    """Rated events as (user, item, time, rating, summary, text), in the file's order, and whether there are times."""
    table = pq.read_table(path / "interactions.parquet").to_pylist()
    events = [
        (
            row["user_id"],
            row["item_id"],
            row.get("timestamp"),
            row.get("rating"),
            row.get("summary") or "",
            row.get("review") or "",
        )
        for row in table
    ]
    return [event for event in events if event[3] is not None]


class Laws:
    """The events of a written data set, by user and by item."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.by_user, self.by_item = defaultdict(list), defaultdict(list)
        for event in written(dataset.path):
            self.by_user[event[0]].append(event)
            self.by_item[event[1]].append(event)
        self.timed = dataset.events.time is not None

    def check(self, example, window, item_window):
        """The example is exactly what the strictly older events say."""
        item = self.dataset.catalog.ids[example.item_index]
        mine = self.by_user[example.user_id]
        if self.timed:
            before = sorted((e for e in mine if e[2] < example.time), key=lambda e: e[2])
            others = [e for e in self.by_item[item] if e[0] != example.user_id and e[2] < example.time]
            others.sort(key=lambda e: e[2])
            self._check_side(example.user_history, example.user_mean, before, window, ordered=True)
            self._check_side(example.item_history, example.item_mean, others, item_window, ordered=False)
            assert any(
                e[1:3] == (item, example.time) and math.isclose(e[3], example.rating, abs_tol=1e-4) for e in mine
            )
        else:
            places = [
                n for n, e in enumerate(mine) if e[1] == item and math.isclose(e[3], example.rating, abs_tol=1e-4)
            ]
            shown = [self._key(rated) for rated in example.user_history]
            assert any([self._event_key(e) for e in mine[max(0, n - window) : n]] == shown for n in places)
            assert example.item_history == () and example.item_mean is None

    def _check_side(self, shown, mean, older, window, *, ordered):
        assert len(shown) == min(window, len(older))
        assert [rated.time for rated in shown] == [e[2] for e in older[len(older) - len(shown) :]]
        keys = [self._key(rated) for rated in shown]
        if ordered:
            assert keys == [self._event_key(e) for e in older[len(older) - len(shown) :]]
        else:  # across users there is no order within one time
            assert set(keys) <= {self._event_key(e) for e in older} and len(set(keys)) == len(keys)
        if older:
            assert math.isclose(mean, np.mean([e[3] for e in older]), rel_tol=1e-5)
        else:
            assert mean is None

    def _key(self, rated):
        return (
            rated.user_id,
            self.dataset.catalog.ids[rated.item_index],
            rated.time,
            round(rated.rating, 3),
            rated.summary,
            rated.text,
        )

    def _event_key(self, event):
        return (*event[:3], round(event[3], 3), *event[4:])
