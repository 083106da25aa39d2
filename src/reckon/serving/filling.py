"""A new store gets the items, users and events of the data set that a run was trained on.

Entry point: `fill`. It happens once; from then on the store is what counts.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from reckon.data import Dataset
from reckon.errors import CheckpointError, DataError
from reckon.methods.finished import data_path_of
from reckon.progress import phase
from reckon.runs.read import dataset_of
from reckon.serving.models.catalogs import items_of
from reckon.serving.models.served_rater import ServedRater
from reckon.serving.models.served_run import ServedRun
from reckon.serving.store.records import User, UserEvent
from reckon.serving.store.store import Store

FILLED = "filled from"
EVENT_TYPE = "interaction"  # of events that were training data
AT_ONCE = 100_000  # of one transaction
ORDER_ONLY = datetime(2000, 1, 1, tzinfo=UTC)  # where histories begin of which only the order is known


def fill(store: Store, run: ServedRun | ServedRater, path: Path, data: Path | None) -> str | None:
    """Fill a new store; does nothing where it was filled before.

    Args:
        store: the store.
        run: the run that is served.
        path: its directory.
        data: where its data set is now; None: where it was.

    Returns:
        What is missing, in one sentence, where the data set is gone; None where all is there.
    """
    if store.facts.get(FILLED) is not None:
        return None
    with phase("items into the store", total=len(run.model.catalog)) as running:
        for items in items_of(run.model.catalog):
            store.items.put(items)
            running.advance(len(items))
    try:
        dataset = dataset_of(path, data_path_of(path), data)
    except (CheckpointError, DataError) as error:
        if data is not None:
            raise
        store.facts.set(FILLED, f"{run.name}@{run.version}, without histories")
        return f"Histories begin empty: {error}"
    given = _given_histories(dataset)
    users = sorted({str(user) for user in dataset.user_ids}.union(given))
    for start in range(0, len(users), AT_ONCE):
        store.users.put([User(user) for user in users[start : start + AT_ONCE]])
    with phase("events into the store", total=len(dataset.user_index)) as running:

        def batches() -> Iterator[list[UserEvent]]:
            for batch in _events(dataset, given):
                yield batch
                running.advance(len(batch))
            yield from _given_events(given)

        store.events.load(batches())
    store.facts.set(FILLED, f"{run.name}@{run.version}")
    return None


def _events(dataset: Dataset, given: Collection[str]) -> Iterator[list[UserEvent]]:
    """Events of the log, but for users with a given history."""
    log, users, ids = dataset.events, dataset.user_ids, dataset.catalog.ids
    summaries, texts = dataset.texts("summary"), dataset.texts("review")
    for start in range(0, len(dataset.user_index), AT_ONCE):
        rows = range(start, min(start + AT_ONCE, len(dataset.user_index)))
        yield [
            UserEvent(
                id=f"data-{row}",
                user_id=str(users[dataset.user_index[row]]),
                item_id=ids[log.item_index[row]],
                type=EVENT_TYPE,
                time=_nth(row) if log.time is None else datetime.fromtimestamp(int(log.time[row]), UTC),
                value=None if log.rating is None or np.isnan(log.rating[row]) else float(log.rating[row]),
                summary=_text(summaries, row),
                text=_text(texts, row),
            )
            for row in rows
            if str(users[dataset.user_index[row]]) not in given
        ]


def _text(column: pa.ChunkedArray | None, row: int) -> str | None:
    return None if column is None else column[row].as_py() or None


def _given_histories(dataset: Dataset) -> dict[str, list[str]]:
    """Item ids of users of given rows, as `Dataset.latest` knows them: the last row's history, and then its target."""
    found: dict[str, list[str]] = {}
    if dataset.rows is not None:
        for batch in dataset.rows.to_batches(max_chunksize=AT_ONCE):
            for row in batch.to_pylist():
                found[str(row["user_id"])] = [*row["history"], row["item_id"]]
    return found


def _given_events(given: dict[str, list[str]]) -> Iterator[list[UserEvent]]:
    batch: list[UserEvent] = []
    for number, (user, items) in enumerate(given.items()):
        batch += [
            UserEvent(f"row-{number}-{place}", user, item_id, EVENT_TYPE, _nth(place))
            for place, item_id in enumerate(items)
        ]
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    yield batch


def _nth(place: int) -> datetime:
    """A time for an event of which only the order is known."""
    return ORDER_ONLY + timedelta(seconds=place)
