"""What a user did, as the model is told it.

Entry point: `Histories.of_user`.
"""

from collections.abc import Sequence

from reckon.serving.models.snapshot import Past
from reckon.serving.store.conditions import Condition
from reckon.serving.store.store import Store

LONGEST = 10_000  # events of one user that are read, the latest ones


class Histories:
    """Histories from the events of a store."""

    def __init__(self, store: Store, conditions: Sequence[Condition]) -> None:
        """An event belongs to a history if it meets one of the conditions."""
        self._store, self.conditions = store, list(conditions)

    def of_user(self, user_id: str) -> list[Past]:
        """A user's events that belong to a history, oldest first; empty for an unknown user."""
        events = self._store.events.of_user(user_id, limit=LONGEST, conditions=self.conditions)
        return [Past(event.item_id, event.time, event.value) for event in events]
