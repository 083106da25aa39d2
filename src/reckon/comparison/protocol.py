"""The test rows of a comparison, and the data set under the protocol's split.

Entry points: `apply_split`, `Rows` made by `rows_of`. Knows nothing of methods: all get the same rows, candidates and
excluded items.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from reckon.comparison.config import ProtocolConfig
from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.data.splits import Split as RowSplit
from reckon.errors import ConfigError, DataError
from reckon.models.recommender import RankedExamples, Recommendation

ROW_SEED = 0  # seed of sampled rows and negatives; independent of training seeds
LISTS_AT_ONCE = 1 << 22  # items in the lists of one block of sampled ranking


class Ranker(Protocol):
    """Interface of a fitted ranking method."""

    def ranks(self, examples: Examples, k: int, on_batch: Callable[[int], None] | None = None) -> RankedExamples:
        """Rank of every row's target in the whole catalog, and the k best items."""

    def lists(self, examples: Examples) -> list[Recommendation]:
        """The whole ranked catalog for each row, items of the history included."""


def apply_split(dataset: Dataset, protocol: ProtocolConfig) -> Dataset:
    """The data set under the protocol's split.

    Raises:
        ConfigError: the split is `given`, and the data set has no given rows.
    """
    if protocol.split in ("as-prepared", dataset.protocol):
        return dataset
    if protocol.split == "given":
        fix = "prepare the data with given rows, or use temporal or leave-one-out"
        raise ConfigError("protocol.split", "given", "the data set has no given rows", fix)
    return replace(dataset, info=dataset.info | {"split": protocol.split}, rows=None)


@dataclass(frozen=True)
class Rows:
    """Rows of one split, equal for all methods."""

    examples: Examples
    negatives: IntArray | None
    """[U, n] items that each target is ranked among; None: the whole catalog."""
    exclude_seen: bool = True
    """Whether items that the user took before are excluded; such a target is a miss."""

    def __len__(self) -> int:
        return len(self.examples)

    @cached_property
    def checksum(self) -> str:
        """Checksum of users, targets, whole histories and negatives; equal checksums mean equal rows."""
        digest = hashlib.sha256("\n".join(map(str, self.examples.user_ids)).encode())
        digest.update(np.asarray(self.examples.targets, dtype=np.int64).tobytes())
        for row in range(len(self.examples)):
            digest.update(np.asarray(self.examples.seen(row), dtype=np.int64).tobytes())
        if self.negatives is not None:
            digest.update(self.negatives.tobytes())
        return digest.hexdigest()

    def within(self, window: int) -> Examples:
        """The rows with at most the latest `window` events of each history."""
        return replace(self.examples, start=np.maximum(self.examples.start, self.examples.end - window))


def rows_of(dataset: Dataset, protocol: ProtocolConfig, split: RowSplit, limit: int | None) -> Rows:
    """Rows of a split under the protocol.

    Args:
        dataset: as returned by `apply_split`.
        protocol: window, masking, negatives.
        split: `test` or `valid`.
        limit: most rows; None: all.

    Raises:
        DataError: the split has no rows.
        ConfigError: a row has fewer items to draw from than negatives.
    """
    examples = dataset.examples(split, protocol.window)
    if len(examples) == 0:
        raise DataError(str(dataset.path), f"has no {split} rows", "prepare the data with such rows")
    if limit is not None:
        examples = examples.sample(limit, ROW_SEED)
    if protocol.negatives is None:
        return Rows(examples, None, protocol.excludes_seen)
    negatives = _draw(examples, len(dataset.catalog), protocol.negatives, protocol.excludes_seen)
    return Rows(examples, negatives, protocol.excludes_seen)


def _draw(examples: Examples, catalog_size: int, count: int, exclude_seen: bool) -> IntArray:
    """Items [U, count] drawn uniformly without replacement for each row, without its target and, if excluded, its
    history."""
    rng = np.random.default_rng(ROW_SEED)
    drawn = np.empty((len(examples), count), dtype=np.int64)
    for row, target in enumerate(examples.targets):
        banned = np.unique(np.append(examples.seen(row), target)) if exclude_seen else np.array([target])
        if catalog_size - len(banned) < count:
            rule = f"row {row} has {catalog_size - len(banned)} items to draw from"
            raise ConfigError("protocol.negatives", count, rule, "lower it, or rank the whole catalog with null")
        allowed = np.setdiff1d(np.arange(catalog_size), banned, assume_unique=True)
        drawn[row] = rng.choice(allowed, size=count, replace=False)
    return drawn


def rank_rows(
    ranker: Ranker, rows: Rows, window: int, k: int, catalog_size: int, on_batch: Callable[[int], None] | None = None
) -> RankedExamples:
    """Rank every row's target among the protocol's candidates; recommended lists come from the whole catalog.

    Args:
        ranker: a fitted method.
        rows: the test rows.
        window: events that this method reads, at most the protocol's window.
        k: kept length of each list.
        catalog_size: I; I + 1 is the rank of a miss.
        on_batch: called with the number of rows ranked since the last call.
    """
    examples = rows.within(window)
    ranked = ranker.ranks(examples, k, on_batch)
    if rows.negatives is not None:
        ranked.ranks = _sampled_ranks(ranker, examples, rows.negatives, catalog_size)
        if rows.exclude_seen:  # an excluded target is a miss; a target outside a beam has a rank among its negatives
            masked = [examples.targets[row] in examples.seen(row) for row in range(len(examples))]
            ranked.ranks[masked] = catalog_size + 1
    return ranked


def _sampled_ranks(ranker: Ranker, examples: Examples, negatives: IntArray, catalog_size: int) -> IntArray:
    """Rank of each target among its negatives, ties counted against it; I + 1 for a target that the method's list
    lacks."""
    ranks = np.full(len(examples), catalog_size + 1, dtype=np.int64)
    size = max(1, LISTS_AT_ONCE // catalog_size)
    for start in range(0, len(examples), size):
        block = np.arange(start, min(start + size, len(examples)))
        for row, recommendation in zip(block, ranker.lists(examples.subset(block)), strict=True):
            scores = dict(zip(recommendation.items, recommendation.scores, strict=True))
            own = scores.get(int(examples.targets[row]))
            if own is not None:
                ranks[row] = 1 + sum(scores.get(int(item), -np.inf) >= own for item in negatives[row])
    return ranks
