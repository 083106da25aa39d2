"""How many events each item has had: what answers when nothing is known of a user.

Entry point: `Popularity`. Read once from the store, then counted on.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from reckon.serving.store.conditions import Condition, meets
from reckon.serving.store.records import UserEvent
from reckon.serving.store.store import Store


class Popularity:
    """Events by item; any thread may add and read."""

    def __init__(self, conditions: list[Condition]) -> None:
        """Counts events that meet one of the conditions."""
        self._conditions = conditions
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def read(self, store: Store) -> None:
        """Count all events of the store."""
        counts = Counter(store.events.item_counts(conditions=self._conditions))
        with self._lock:
            self._counts = counts

    def add(self, events: Iterable[UserEvent]) -> None:
        """Count new events."""
        with self._lock:
            self._counts.update(event.item_id for event in events if meets(event, self._conditions))

    @property
    def counts(self) -> Mapping[str, int]:
        """A copy of the counts."""
        with self._lock:
            return dict(self._counts)
