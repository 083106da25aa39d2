"""Popularity: the same ranking for everyone, by training frequency. The bar every recommender must clear."""

from collections.abc import Sequence

import numpy as np
import torch

from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import IntArray
from reckon.models.recommender import RankedExamples, Recommendation
from reckon.models.scoring import ranks_and_top_k, top_k

ROWS_AT_ONCE = 4096


class Popularity:
    """Ranks items by how often they occur in training interactions."""

    def __init__(self, catalog: Catalog, counts: IntArray, exclude_seen: bool = True) -> None:
        self.catalog, self.counts, self.exclude_seen = catalog, counts, exclude_seen
        self._table = torch.from_numpy(counts.astype("float32"))[:, None]  # [I, 1]

    @classmethod
    def fit(cls, dataset: Dataset, exclude_seen: bool = True) -> "Popularity":
        """Count the training interactions of a data set."""
        return cls(dataset.catalog, dataset.train_counts, exclude_seen)

    def recommend(
        self, histories: Sequence[IntArray | Sequence[int]], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The k most frequent items, without those of the history where they are excluded."""
        exclude = self.exclude_seen if exclude_seen is None else exclude_seen
        users = torch.ones(len(histories), 1)
        items, scores = top_k(
            users,
            self._table,
            k,
            exclude=[np.asarray(history, dtype=np.int64) for history in histories] if exclude else None,
        )
        answers = []
        for row in range(len(histories)):
            kept = [column for column in range(items.shape[1]) if items[row, column] >= 0]
            indices = [int(items[row, column]) for column in kept]
            answers.append(
                Recommendation(
                    indices,
                    [self.catalog.ids[item] for item in indices],
                    [float(scores[row, column]) for column in kept],
                )
            )
        return answers

    def ranks(self, examples: Examples, k: int = 20) -> RankedExamples:
        """Rank of every row's target; items of equal count are ahead of it."""
        result = RankedExamples.empty(len(examples), k)
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = slice(start, min(start + ROWS_AT_ONCE, len(examples)))
            seen = [examples.seen(row) for row in range(rows.start, rows.stop)] if self.exclude_seen else None
            users = torch.ones(rows.stop - rows.start, 1)
            targets = torch.from_numpy(examples.targets[rows].astype("int64"))
            ranks, items = ranks_and_top_k(users, self._table, targets, k, exclude=seen)
            result.ranks[rows] = ranks.numpy()
            result.put_items(rows, items.numpy())
        return result
