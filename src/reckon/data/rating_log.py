"""Every rated event of a data set, findable by user, by item and by both, before a given time.

Entry point: `RatingLog`, which `Dataset.rating_log` makes once. It finds "strictly older" by binary search in sorted
integers: arrays only, no object per event, so ten million ratings take seconds and some hundred megabytes.

Does not know about splits, windows or texts.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reckon.data.examples import FloatArray, IntArray
from reckon.data.scale import DECIMALS


@dataclass(frozen=True, slots=True)
class Older:
    """For each of R questions the run start:end of a grouping's events: one group, strictly older, oldest first."""

    start: IntArray  # [R]
    end: IntArray  # [R] exclusive
    total: FloatArray  # [R] sum of the ratings in the run

    @property
    def count(self) -> IntArray:
        """[R] how many ratings the run holds."""
        return self.end - self.start


class Grouping:
    """Events sorted by group and time, so that what is older than a time is one run of them."""

    def __init__(self, group: IntArray, moment: IntArray, moments: int, rating: FloatArray) -> None:
        """Sort E events by group [E] and moment [E], a rank from 0 to moments - 1; ties keep their order."""
        self._width = moments + 1  # rank `moments` asks for everything
        key = group.astype(np.int64) * self._width + moment
        self.order = np.argsort(key, kind="stable")  # [E] event at each place
        self._key = key[self.order]
        self._totals = np.r_[0.0, np.cumsum(rating[self.order])]  # [E + 1]

    def older(self, group: IntArray, moment: IntArray) -> Older:
        """What lies in a group strictly before a moment, for groups [R] and moments [R]; groups may be unknown."""
        base = np.asarray(group, dtype=np.int64) * self._width
        start, end = np.searchsorted(self._key, base), np.searchsorted(self._key, base + moment)
        return Older(start, end, self._totals[end] - self._totals[start])


class RatingLog:
    """The rated events, numbered 0 to E - 1 in the order of the event log."""

    def __init__(
        self, user_index: IntArray, item_index: IntArray, time: IntArray | None, rating: FloatArray, items: int
    ) -> None:
        """Take every event of a data set; those whose rating is NaN are left out.

        Args:
            user_index, item_index: [events] of each event, each user's in order.
            time: [events] seconds since 1970, or None where only the order of each user's events is known.
            rating: [events] NaN where missing.
            items: how many items the catalog has.
        """
        self.event = np.flatnonzero(~np.isnan(rating))  # [E] place in the event log
        self.user_index, self.item_index = user_index[self.event], item_index[self.event]  # [E], [E]
        self.rating: FloatArray = rating[self.event].astype(np.float64).round(DECIMALS)  # [E]
        self.time = None if time is None else time[self.event]  # [E]
        self._items = items
        # Without times, an event's own place stands for its time: then no two of a user are tied.
        order = np.arange(len(self.event)) if self.time is None else self.time
        self._times, self.moment = np.unique(order, return_inverse=True)  # moment [E]: rank of the time

    def __len__(self) -> int:
        return len(self.event)

    def moment_of(self, time: int | None) -> int:
        """The rank that asks for everything before a time; None: for everything there is."""
        return len(self._times) if time is None or self.time is None else int(np.searchsorted(self._times, time))

    @cached_property
    def by_user(self) -> Grouping:
        """Grouped by user index."""
        return Grouping(self.user_index, self.moment, len(self._times), self.rating)

    @cached_property
    def by_item(self) -> Grouping:
        """Grouped by item index. Where only the order within each user is known, nothing can be said to be older."""
        return Grouping(self.item_index, self.moment, len(self._times), self.rating)

    @cached_property
    def _by_pair(self) -> Grouping:
        return Grouping(self._pairs(self.user_index, self.item_index)[1], self.moment, len(self._times), self.rating)

    def own(self, user_index: IntArray, item_index: IntArray, moment: IntArray) -> Older:
        """A user's earlier ratings of the item itself, which are not ratings of the item by others: [R] runs."""
        known, pair = self._pairs(user_index, item_index)
        return self._by_pair.older(np.where(known, pair, len(self)), moment)

    @cached_property
    def _pair_codes(self) -> IntArray:
        return np.unique(self._codes(self.user_index, self.item_index))

    def _codes(self, user_index: IntArray, item_index: IntArray) -> IntArray:
        return np.asarray(user_index, dtype=np.int64) * self._items + item_index

    def _pairs(self, user_index: IntArray, item_index: IntArray) -> tuple[np.ndarray, IntArray]:
        """Whether each pair occurs, and its number."""
        codes = self._codes(user_index, item_index)
        place = np.searchsorted(self._pair_codes, codes)
        known = self._pair_codes[np.minimum(place, len(self._pair_codes) - 1)] == codes
        return known, place
