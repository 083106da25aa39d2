"""The test rows of a comparison of ratings: a user, an item, and all older ratings.

Entry points: `RatingRows`, made by `rating_rows_of`. The protocol's window limits the ratings in a prompt
(`reckon.comparison.rating.contestants`). Baselines read all visible ratings, except `text`, which reads reviews and
counts ratings within the windows of these rows, in fitting and in prediction.
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
    """Rows of one split, equal for all methods."""

    examples: RatingExamples

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def checksum(self) -> str:
        """Checksum of users, items, ratings, times, and the visible slices of the rating log of user and item.

        For one data set, equal checksums mean equal rows; the data has its own checksum.
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
    """Rows of a split, at most `limit`; None: all.

    Raises:
        DataError: the data set has no ratings, or none in this split.
    """
    examples = rating_examples(dataset, split)
    return RatingRows(examples if limit is None else examples.sample(limit, ROW_SEED))
