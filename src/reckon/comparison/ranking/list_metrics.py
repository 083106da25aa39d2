"""Metrics of recommended lists for every method of a comparison.

Entry points: `ListInputs.of` collects the inputs from the data once, `ListInputs.numbers` computes the metrics of a
method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.metrics import RankingResult, list_summary, mrr
from reckon.metrics.lists import distinct_users
from reckon.prompts import item_text

ITEM_WORDS = 64  # words of each item's text in the vectors for diversity


@dataclass(frozen=True, slots=True)
class ListInputs:
    """Inputs of the list metrics: training counts, histories and item vectors."""

    counts: IntArray  # [I] training interactions
    user_counts: IntArray  # [I] distinct training users
    users: int
    histories: tuple[IntArray, IntArray]
    """Item indices of all rows' whole histories, joined, and the row of each."""
    vectors: Any
    """[I, words] TF-IDF of the items' texts; None where they have no words."""

    @classmethod
    def of(cls, dataset: Dataset, examples: Examples) -> "ListInputs":
        """Collect the inputs from a data set and its test rows."""
        training = dataset.is_training_event
        user_counts, users = distinct_users(
            dataset.user_index[training], dataset.events.item_index[training], len(dataset.catalog)
        )
        seen = [np.asarray(examples.seen(row), dtype=np.int64) for row in range(len(examples))]
        return cls(
            dataset.train_counts,
            user_counts,
            users,
            (np.concatenate(seen), np.repeat(np.arange(len(seen)), [len(items) for items in seen])),
            item_vectors(dataset),
        )

    def numbers(self, results: Sequence[RankingResult], k: int, mrr_key: str = "mrr") -> dict[str, float]:
        """MRR and all list metrics at k, averaged over the results of a method's seeds."""
        made = [
            {mrr_key: mrr(result)}
            | list_summary(
                result,
                k,
                counts=self.counts,
                user_counts=self.user_counts,
                users=self.users,
                histories=self.histories if len(self.histories[0]) else None,
                vectors=self.vectors,
            )
            for result in results
        ]
        return {metric: float(np.mean([one[metric] for one in made])) for metric in made[0]}


def item_vectors(dataset: Dataset) -> Any:
    """[I, words] TF-IDF of each item's text; None where no text has a word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [item_text(dataset.catalog.record(item), ITEM_WORDS) for item in range(len(dataset.catalog))]
    try:
        return TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # an empty vocabulary
        return None
