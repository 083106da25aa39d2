"""Examples: what a recommender is trained and tested on, one row per (history, target).

Entry point: `Examples`, made by `Dataset.examples`. It holds arrays, not objects, so ten million rows cost
tens of bytes each; indexing gives one readable `Example`. Knows nothing about splits, prompts or models.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Event:
    """One interaction of a history."""

    item_index: int
    """Row of the item in the catalog."""
    time: int | None
    """Seconds since 1970 (UTC); None where the data set knows only the order."""
    rating: float | None
    """In the data set's own scale; None where it has no ratings."""


@dataclass(frozen=True, slots=True)
class Example:
    """A user's history and the item that the user really took next."""

    user_id: str
    history: tuple[Event, ...]
    """Oldest first, at most `window` events, all before the target."""
    target: int
    """Item index of the target."""
    time: int | None
    """When the target was taken; None where the data set knows only the order."""
    earlier: IntArray | None = field(default=None, compare=False, repr=False)
    """Item indices of the whole history, also before the window; None: the window holds it all."""

    @property
    def seen(self) -> IntArray:
        """Item indices of everything the user took before, oldest first: what `exclude_seen` leaves out."""
        if self.earlier is not None:
            return self.earlier
        return np.array([event.item_index for event in self.history], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class EventLog:
    """Events of all users, each user's in one contiguous run, oldest first. E events."""

    item_index: IntArray  # [E]
    time: IntArray | None  # [E] seconds since 1970
    rating: FloatArray | None  # [E]


@dataclass(frozen=True, slots=True)
class Examples:
    """R rows of (user, history, target). A history is the slice start:end of the event log; first:end, whole."""

    user_ids: npt.NDArray[np.object_]  # [R]
    targets: IntArray  # [R] item indices
    times: IntArray | None  # [R] seconds since 1970
    first: IntArray  # [R] where the user's events begin
    start: IntArray  # [R] where the window begins
    end: IntArray  # [R] exclusive
    events: EventLog

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[Example]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Example:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        log = self.events
        history = tuple(
            Event(
                item_index=int(log.item_index[i]),
                time=None if log.time is None else int(log.time[i]),
                rating=None if log.rating is None or np.isnan(log.rating[i]) else float(log.rating[i]),
            )
            for i in range(int(self.start[row]), int(self.end[row]))
        )
        return Example(
            user_id=str(self.user_ids[row]),
            history=history,
            target=int(self.targets[row]),
            time=None if self.times is None else int(self.times[row]),
            earlier=self.seen(row),
        )

    def history(self, row: int) -> IntArray:
        """Item indices of one row's history within the window, oldest first: [H]."""
        return self.events.item_index[self.start[row] : self.end[row]]

    def seen(self, row: int) -> IntArray:
        """Item indices of one row's whole history, also before the window, oldest first."""
        return self.events.item_index[self.first[row] : self.end[row]]

    @property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """[R] True where the target is in the row's own whole history: out of reach where `exclude_seen` is on."""
        found = [bool((self.seen(row) == target).any()) for row, target in enumerate(self.targets)]
        return np.array(found, dtype=bool)

    def subset(self, rows: IntArray | list[int]) -> "Examples":
        """The given rows, in the given order; the event log is shared, not copied."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            user_ids=self.user_ids[rows],
            targets=self.targets[rows],
            times=None if self.times is None else self.times[rows],
            first=self.first[rows],
            start=self.start[rows],
            end=self.end[rows],
        )

    def sample(self, size: int, seed: int) -> "Examples":
        """At most `size` rows drawn without replacement under `seed`, kept in their order."""
        if size >= len(self):
            return self
        rows = np.random.default_rng(seed).choice(len(self), size=size, replace=False)
        return self.subset(np.sort(rows))
