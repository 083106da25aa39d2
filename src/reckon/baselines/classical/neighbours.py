"""ItemKNN: nearest neighbours of the history's items under a shrunk cosine of their users.

Entry point: `ItemKNN`. `co_occurrence` counts ordered pairs of items in sequences; `reckon.baselines.classical.hybrid`
uses it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.classical.interactions import (
    check_decay,
    history_weights,
    sparse_matrix,
    sparse_tensors,
    training_matrix,
)
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemKNNConfig:
    """Settings of `item-knn`."""

    neighbours: int = 100
    """Nearest neighbours kept per item, > 0."""

    shrinkage: float = 10.0
    """Constant in the cosine's denominator, >= 0, in users; it lowers the similarity of pairs with few common users."""

    decay: float = 0.8
    """Weight of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same weight."""

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise ConfigError("neighbours", self.neighbours, "an item needs a neighbour", "use 1 or more")
        if not self.shrinkage >= 0:
            raise ConfigError("shrinkage", self.shrinkage, "must not be negative", "use 0 or more")
        check_decay(self.decay)


class ItemKNN(Baseline):
    """Score of an item: recency-weighted sum of its similarities to the items of the history.

    similarity(i, j) = |users of both| / (sqrt(|users of i| * |users of j|) + shrinkage), 0 for i = j;
    score(j) = sum over history items i of decay ** (events since i) * similarity(i, j), among i's neighbours.

    Source: Sarwar et al., "Item-based collaborative filtering", WWW 2001, section 3; shrinkage as in Ferrari Dacrema
    et al. (arXiv:1907.06902) section 3.2. The recency weight is ours.
    """

    NAME = "item-knn"
    CONFIG = ItemKNNConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "neighbours": (20, 50, 100, 200, 500),
        "shrinkage": (0.0, 1.0, 3.0, 10.0, 30.0, 100.0),
        "decay": (0.5, 0.7, 0.8, 0.9, 1.0),
    }

    def __init__(
        self, catalog: Catalog, config: ItemKNNConfig, similarity: sp.csr_matrix, exclude_seen: bool = True
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.similarity = similarity  # [I, I]

    @classmethod
    def learn(cls, dataset: Dataset, config: ItemKNNConfig, fitting: Fitting) -> Self:
        taken = training_matrix(dataset)
        similarity = cosine(taken.T @ taken, config.shrinkage)
        return cls(dataset.catalog, config, strongest(similarity, config.neighbours), fitting.exclude_seen)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        profile = history_weights(histories, len(self.catalog), self.config.decay)
        return torch.from_numpy((profile @ self.similarity).toarray())

    def tensors(self) -> dict[str, Tensor]:
        return sparse_tensors("similarity", self.similarity)

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, sparse_matrix("similarity", tensors), exclude_seen)


def cosine(shared: sp.csr_matrix, shrinkage: float) -> sp.csr_matrix:
    """Shrunk cosine of items [I, I], zero on the diagonal, from the number of common users of each pair [I, I].

    The diagonal of `shared` holds the number of users of each item.
    """
    pairs, users = shared.tocoo(), shared.diagonal()
    others = pairs.row != pairs.col
    row, column, both = pairs.row[others], pairs.col[others], pairs.data[others]
    values = both / (np.sqrt(users[row] * users[column]) + shrinkage)
    return sp.csr_matrix((values.astype(np.float32), (row, column)), shape=shared.shape)


def strongest(matrix: sp.csr_matrix, keep: int) -> sp.csr_matrix:
    """The `keep` largest values of each row; ties keep the lower columns."""
    matrix = matrix.sorted_indices()
    kept = np.zeros(matrix.nnz, dtype=bool)
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:], strict=True):
        kept[start + np.argsort(-matrix.data[start:end], kind="stable")[:keep]] = True
    counts = np.add.reduceat(np.r_[kept, False], matrix.indptr[:-1]) * (np.diff(matrix.indptr) > 0)
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], np.r_[0, np.cumsum(counts)]), shape=matrix.shape)


def co_occurrence(
    sequences: Sequence[IntArray], items: int, *, backward: float = 1.0, decay: float = 1.0
) -> sp.csr_matrix:
    """How often item j comes after item i in the same sequence: [I, I] float32, row i, column j, zero diagonal.

    Args:
        sequences: item indices, oldest first.
        items: I.
        backward: weight of j before i relative to j after i; 1 is symmetric, 0 counts only j after i.
        decay: factor on a pair's weight for each event between the two, in (0, 1].
    """
    longest = max((len(sequence) for sequence in sequences), default=0)
    owner = np.repeat(np.arange(len(sequences)), [len(sequence) for sequence in sequences])
    flat = np.concatenate([*sequences, np.empty(0, dtype=np.int64)])
    forward = sp.csr_matrix((items, items), dtype=np.float32)
    for distance in range(1, longest):
        weight = decay ** (distance - 1)
        if weight < NEGLIGIBLE:
            break
        pair = (owner[distance:] == owner[:-distance]) & (flat[distance:] != flat[:-distance])
        places = (flat[:-distance][pair], flat[distance:][pair])
        values = np.full(int(pair.sum()), weight, dtype=np.float32)
        forward = forward + sp.csr_matrix((values, places), shape=(items, items))
    return (forward + backward * forward.T).tocsr().astype(np.float32)


NEGLIGIBLE = 1e-3  # pairs at distances with a lower weight are not counted
