"""A history that a caller gives, or that another data set holds, as an example of a model's catalog.

Entry points: `example_of_history`, `in_catalog`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from reckon.data import Catalog, Event, Example
from reckon.data.examples import IntArray
from reckon.errors import DataError

History = IntArray | Sequence[int] | Sequence[Event]


def example_of_history(history: History, catalog: Catalog, window: int, now: int | None = None) -> Example:
    """An example from a history, oldest first, without a target.

    Args:
        history: item indices, or `Event`s, whose times and ratings are shown in the prompt as in training.
        catalog: of the item indices.
        window: events that the model reads, the latest ones.
        now: present time in seconds since 1970, the reference of "3 days ago"; default: the latest time of the history.

    Raises:
        DataError: an item index is not of this catalog.
    """
    events = [event if isinstance(event, Event) else Event(int(event), None, None) for event in history]
    for event in events:
        if not 0 <= event.item_index < len(catalog):
            raise DataError(
                f"history item {event.item_index}",
                f"is not an item index (0 .. {len(catalog) - 1})",
                "use Catalog.index to turn an item id into its index",
            )
    if now is None:
        now = max((event.time for event in events if event.time is not None), default=None)
    seen = np.array([event.item_index for event in events], dtype=np.int64)
    return Example("", tuple(events[-window:]), -1, now, seen)


def in_catalog(example: Example, source: Catalog, catalog: Catalog) -> Example:
    """An example with item indices of `source` in those of `catalog`, by item ids.

    Raises:
        DataError: an item of the history is not in `catalog`.
    """
    if source.ids == catalog.ids:
        return example
    events = tuple(replace(event, item_index=catalog.index(source.ids[event.item_index])) for event in example.history)
    return replace(example, history=events, earlier=catalog.indices([source.ids[item] for item in example.seen]))
