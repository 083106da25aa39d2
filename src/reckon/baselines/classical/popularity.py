"""Popularity: the same ranking for every user, by training frequency.

Entry points: `Popularity`, and `RecentPopularity`, which counts only the last days of training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError

SECONDS_PER_DAY = 86_400


class Popularity(Baseline):
    """Ranks items by their number of training interactions."""

    NAME = "popularity"

    def __init__(self, catalog: Catalog, counts: IntArray, exclude_seen: bool = True, config: Any = None) -> None:
        super().__init__(catalog, config or self.CONFIG(), exclude_seen)
        self.counts = counts
        self._scores = torch.from_numpy(np.asarray(counts, dtype=np.float32))

    @classmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        return cls(dataset.catalog, cls._counts(dataset, config), fitting.exclude_seen, config)

    @classmethod
    def _counts(cls, dataset: Dataset, config: Any) -> IntArray:
        return dataset.train_counts

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        return self._scores.repeat(len(histories), 1)

    def tensors(self) -> dict[str, Tensor]:
        return {"counts": torch.from_numpy(np.asarray(self.counts, dtype=np.int64))}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, tensors["counts"].numpy(), exclude_seen, config)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentConfig:
    """Settings of `recent-popularity`."""

    days: float = 90.0
    """Length of the counted period before the end of training, in days, > 0."""

    def __post_init__(self) -> None:
        if not self.days > 0:
            raise ConfigError("days", self.days, "must be positive", "use more than 0 (default 90)")


class RecentPopularity(Popularity):
    """Ranks items by their number of interactions in the last days of training. Raises DataError for data without
    times."""

    NAME = "recent-popularity"
    CONFIG = RecentConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {"days": (7.0, 30.0, 90.0, 365.0)}

    @classmethod
    def _counts(cls, dataset: Dataset, config: RecentConfig) -> IntArray:
        if dataset.events.time is None:
            raise DataError(str(dataset.path), "has no times, so no last days can be counted", "use `popularity`")
        times = dataset.events.time[dataset.is_training_event]
        recent = dataset.events.item_index[dataset.is_training_event][
            times > times.max() - config.days * SECONDS_PER_DAY
        ]
        return np.bincount(recent, minlength=len(dataset.catalog))
