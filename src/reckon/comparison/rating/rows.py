"""The rows of ratings that every method is asked about: a user, an item, and what is older than the rating.

Entry points: `RatingRows`, made by `rating_rows_of`. The protocol's window bounds what a prompt may hold
(`reckon.comparison.rating.contestants`); baselines read everything that is visible, so none loses by reading less. But
`text` reads reviews, and counts ratings, in the windows that the rows have here, with which it is fitted, too.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reckon.comparison.protocol import ROW_SEED
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples, rating_examples
from reckon.data.splits import Split as RowSplit


@dataclass(frozen=True)
class RatingRows:
    """Rows of one split, the same for every method."""

    examples: RatingExamples

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def checksum(self) -> str:
        """Of users, items, ratings, times and where what is visible of both sides begins and ends in the rating log.

        Of the same data, equal checksums are equal rows; the data has a checksum of its own.
        """
        examples = self.examples
        digest = hashlib.sha256("\n".join(map(str, examples.user_ids)).encode())
        for part in (examples.item_indices, examples.visible_of_user, examples.visible_of_item):
            digest.update(np.ascontiguousarray(part, dtype=np.int64).tobytes())
        if examples.times is not None:
            digest.update(np.ascontiguousarray(examples.times, dtype=np.int64).tobytes())
        digest.update(np.ascontiguousarray(examples.ratings, dtype=np.float64).tobytes())
        return digest.hexdigest()


def rating_rows_of(dataset: Dataset, split: RowSplit, limit: int | None) -> RatingRows:
    """Rows of a split, at most `limit` of them; None: all.

    Raises:
        DataError: the data set has no ratings, or none in this split.
    """
    examples = rating_examples(dataset, split)
    return RatingRows(examples if limit is None else examples.sample(limit, ROW_SEED))
