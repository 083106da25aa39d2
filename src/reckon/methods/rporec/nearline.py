"""Nearline serving of RPORec: replies are written in advance, and a request is one look-up.

Entry points: `reason_all`, behind `reckon reason`, fills a store with reply and user vector of every user; `Nearline`
recommends from the store. It loads the item table without the language model, and returns the same lists as the model
for the same replies.

Source: RPORec (arXiv 2605.21967), deployment.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reckon.data import Catalog, Dataset
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.locks import folder_lock
from reckon.methods.rporec.config import RPORecConfig
from reckon.methods.rporec.model import RECHEAD_FILE, RPORecModel
from reckon.methods.rporec.replies import PolicyWriter, write_missing
from reckon.methods.rporec.reply_store import ReplyStore
from reckon.models.item_table import ItemTable
from reckon.models.recommender import Recommendation
from reckon.models.scoring import best_items, log_prior
from reckon.runs.read import config_of, dataset_of, manifest_of
from reckon.runs.saved_catalog import SavedCatalog

USERS_AT_ONCE = 64  # prompts per batch


@dataclass(frozen=True, slots=True)
class ReasonedUsers:
    """Counts of `reason_all`."""

    users: int
    """Users of the data set, or of the requested part."""
    written: int
    """Users added to the store."""


def reason_all(
    run: str | Path,
    store: str | Path,
    *,
    data: str | Path | None = None,
    batch_size: int = USERS_AT_ONCE,
    part: tuple[int, int] = (1, 1),
    on_batch: Callable[[int, int], None] = lambda rows, total: None,
) -> ReasonedUsers:
    """Write reply and user vector of every user of a run's data set into a store.

    Users in the store are skipped, so a repeated call continues a killed one.

    Args:
        run: a finished RPORec run.
        store: the SQLite file; created if absent.
        data: the dataset directory, if it has moved since training.
        batch_size: prompts per batch; a batch is one transaction.
        part: (i, n) selects every n-th user from the i-th on, so that n processes can fill one store.
        on_batch: called with the users done since the last call and their total.

    Raises:
        CheckpointError: the run is not finished, or was trained on other data.
        ConfigError: the run writes no reasoning, or `part` is invalid.
        DataError: the store belongs to another run.
        BusyError: another process writes this part.
    """
    with folder_lock(store, part=f"{part[0]}-of-{part[1]}"):
        return _reason_all(Path(run), Path(store), data, batch_size, part, on_batch)


def _reason_all(
    run: Path,
    store: Path,
    data: str | Path | None,
    batch_size: int,
    part: tuple[int, int],
    on_batch: Callable[[int, int], None],
) -> ReasonedUsers:
    model = RPORecModel.from_pretrained(run)
    if not model.reasons:
        raise ConfigError("arm", model.config.arm, "this run writes no reasoning", "give a run of the full method")
    dataset = dataset_of(run, model.data_path, data)
    users = users_of(dataset, part)
    with ReplyStore(store, store_identity(run)) as kept:
        missing = kept.missing(users)
        rows = [(user, model.example_of_user(dataset, user)) for user in missing]
        on_batch(len(users) - len(missing), len(users))
        written = write_missing(
            rows,
            PolicyWriter(model, with_vectors=True),
            kept,
            batch_size=batch_size,
            on_batch=lambda done: on_batch(done, len(users)),
        )
    return ReasonedUsers(len(users), written)


def users_of(dataset: Dataset, part: tuple[int, int] = (1, 1)) -> list[str]:
    """Sorted ids of all users with events; every n-th from the i-th on."""
    first, step = part
    if not 1 <= first <= step:
        raise ConfigError("--part", f"{first}/{step}", "must be i/n with 1 <= i <= n", "use 1/2 and 2/2, say")
    known = set(map(str, dataset.user_ids))
    if dataset.rows is not None:
        known |= set(map(str, dataset.rows["user_id"].to_pylist()))
    return sorted(known)[first - 1 :: step]


def store_identity(run: Path) -> dict[str, Any]:
    """Identity of the store's vectors (training, settings, Rechead), read without loading the language model."""
    digest = hashlib.sha256(json.dumps(manifest_of(run), sort_keys=True).encode())
    for name in ("config.yaml", RECHEAD_FILE):
        try:
            digest.update((run / name).read_bytes())
        except OSError:
            raise CheckpointError(run, f"has no readable {name}", "copy the whole run again") from None
    data = manifest_of(run)["data"]
    return {"data": data["checksum"], "split": data.get("split"), "run": digest.hexdigest()[:16]}


class Nearline:
    """Recommends from a store. A context manager."""

    def __init__(
        self, catalog: Catalog, table: ItemTable, bias: Tensor | None, exclude_seen: bool, store: ReplyStore
    ) -> None:
        self.catalog, self.table, self.bias, self.exclude_seen, self.store = catalog, table, bias, exclude_seen, store

    @classmethod
    def open(cls, run: str | Path, store: str | Path) -> "Nearline":
        """Open the store that `reason_all` filled for a finished run.

        Raises:
            CheckpointError: the run is not a finished run of RPORec.
            DataError: there is no such store, or it belongs to another run.
        """
        run = Path(run)
        saved, config = SavedCatalog.load(run, RPORecModel.METHOD), config_of(run, RPORecConfig)
        kept = ReplyStore(store, None)
        for name, value in store_identity(run).items():
            if (made := kept.identity.get(name)) != value:
                kept.__exit__(None, None, None)
                problem = f"was not made for {run}: its {name} is {made}, that of the run {value}"
                raise DataError(str(store), problem, f"make one with `reckon reason {run} --out STORE`")
        head = config.rechead
        bias = head.popularity_prior * log_prior(saved.counts) if head.popularity_prior > 0 else None
        return cls(saved.catalog, saved.table, bias, head.excludes_seen, kept)

    def __enter__(self) -> "Nearline":
        return self

    def __exit__(self, *exception: Any) -> None:
        self.store.__exit__(*exception)

    def recommend(self, user_id: str, k: int = 10, exclude_seen: bool | None = None) -> Recommendation:
        """The k best items of a user, by one look-up and one product with the item table.

        Raises:
            DataError: the store has no reply for this user.
        """
        return self.recommend_with_history(user_id, k, exclude_seen)[0]

    def recommend_with_history(
        self, user_id: str, k: int = 10, exclude_seen: bool | None = None
    ) -> tuple[Recommendation, list[int]]:
        """As `recommend`, with the item indices of the history that the reply is about, oldest first."""
        row = self.store.get(user_id)
        if row is None or row.vector is None:
            fix = "check the id, or run `reckon reason` again for a new user"
            raise DataError(f"user {user_id!r}", f"has no reasoning in {self.store.path}", fix)
        # An item may have been removed from the catalog since.
        history = [self.table.row(item_id) for item_id in row.seen or () if item_id in self.table]
        exclude = self.exclude_seen if exclude_seen is None else exclude_seen
        query = torch.from_numpy(row.vector.copy())[None]
        seen = [np.array(history, dtype=np.int64)] if exclude else None
        items, ids, scores = best_items(query, self.table, k, self.bias, seen)[0]
        reply = row.reply
        return Recommendation(items, ids, scores, reply.parsed.reasoning, reply.truncated), history
