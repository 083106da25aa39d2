"""The Bayes-optimal recommender of a simulated bookshop: the upper bound of expected metrics.

Entry point: `Oracle`, the baseline `oracle`. Raises DataError for any other data set.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError
from reckon.simulation.bookshop import Bookshop, next_book_probabilities, shop_of

DECIMALS = 12  # probabilities of two copies may differ by rounding


class Oracle(Baseline):
    """Ranks books by their exact probability given the history; nothing is fitted."""

    NAME = "oracle"

    def __init__(self, catalog: Catalog, config: Any, exclude_seen: bool, shop: Bookshop, books: IntArray) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.shop, self.books = shop, books

    @classmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        return cls(dataset.catalog, config, fitting.exclude_seen, *shop_of(dataset))

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        """Scores [n, I]: the position of each item in ascending order of probability, without ties.

        Copies of one genre and mood are equally likely. Any fixed order among them has the same expected metrics, while
        ties would place the target behind all of them.
        """
        scores = np.empty((len(histories), len(self.catalog)), dtype=np.float32)
        for row, history in enumerate(histories):
            chance = np.ones(len(self.catalog))
            if len(history):
                chance = next_book_probabilities(self.shop, self.books[history])[self.books]
            order = np.argsort(-np.round(chance, DECIMALS), kind="stable")
            scores[row, order] = np.arange(len(order), 0, -1)
        return torch.from_numpy(scores)

    def tensors(self) -> dict[str, Tensor]:
        return {}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        raise CheckpointError(cls.NAME, "cannot be stored: it needs its shop", "fit it on the bookshop again")
