"""Training events as a matrix or as sequences, and histories as item weights.

Entry points: `training_matrix`, `training_sequences` (both hold training events only), `history_weights`, and
`sparse_tensors` / `sparse_matrix` to store a sparse matrix as tensors.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from reckon.data import Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError


def training_sequences(dataset: Dataset) -> list[IntArray]:
    """Item indices of each user's training events, oldest first; users without any are left out.

    Raises:
        DataError: there are no training events.
    """
    items = dataset.events.item_index[dataset.is_training_event]
    users = dataset.user_index[dataset.is_training_event]
    if not len(items):
        raise DataError(str(dataset.path), "has no training events", "prepare it with more data or another split")
    return np.split(items.astype(np.int64), np.flatnonzero(users[1:] != users[:-1]) + 1)


def training_matrix(dataset: Dataset) -> sp.csr_matrix:
    """[U, I] float32, 1 where a user took an item in training at least once. U counts users with training events only.

    Raises:
        DataError: there are no training events.
    """
    return history_weights(training_sequences(dataset), len(dataset.catalog))


def history_weights(histories: Sequence[IntArray], items: int, decay: float = 1.0) -> sp.csr_matrix:
    """Weight of each item in n histories: [n, I] float32, decay ** (events since the item was last taken), 0
    elsewhere."""
    rows, columns, weights = [], [], []
    for row, history in enumerate(histories):
        # In the reversed history an item's first occurrence is its latest event.
        distinct, age = np.unique(np.asarray(history, dtype=np.int64)[::-1], return_index=True)
        rows.append(np.full(len(distinct), row))
        columns.append(distinct)
        weights.append(decay**age)
    places = (np.concatenate([*rows, np.empty(0, int)]), np.concatenate([*columns, np.empty(0, int)]))
    values = np.concatenate([*weights, np.empty(0)]).astype(np.float32)
    return sp.csr_matrix((values, places), shape=(len(histories), items))


def check_decay(decay: float, field: str = "decay") -> None:
    """Raises ConfigError unless 0 < decay <= 1."""
    if not 0 < decay <= 1:
        raise ConfigError(field, decay, "must lie in (0, 1]", "use 1 to weigh all events alike")


def sparse_tensors(name: str, matrix: sp.csr_matrix) -> dict[str, Tensor]:
    """A sparse float32 matrix as tensors `name.values`, `name.columns`, `name.starts` and `name.shape`."""
    return {
        f"{name}.values": torch.from_numpy(matrix.data.astype(np.float32)),
        f"{name}.columns": torch.from_numpy(matrix.indices.astype(np.int32)),
        f"{name}.starts": torch.from_numpy(matrix.indptr.astype(np.int64)),
        f"{name}.shape": torch.tensor(matrix.shape),
    }


def sparse_matrix(name: str, tensors: Mapping[str, Tensor]) -> sp.csr_matrix:
    """The inverse of `sparse_tensors`."""
    parts = tuple(tensors[f"{name}.{part}"].numpy() for part in ("values", "columns", "starts"))
    return sp.csr_matrix(parts, shape=tuple(tensors[f"{name}.shape"].tolist()))
