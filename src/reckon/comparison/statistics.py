"""Statistics of a comparison: means over seeds, differences from the baseline, significance.

Entry points: `Standing` holds one method's cells; `differences` compares every method with the baseline under Holm's
correction.

The interval is over users: each row's number is averaged over the seeds, then users are resampled. The deviation is
over seeds: the sample deviation of the metric over seeds. RMSE over seeds is the root of the mean squared error over
all rows and seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reckon.comparison.cells import FinishedCell
from reckon.errors import DataError
from reckon.evaluation.groups import Groups, intervals_of
from reckon.metrics import Interval, PairedDifference, holm, spread
from reckon.metrics.bootstrap import FloatArray
from reckon.metrics.measures import measure_of
from reckon.metrics.significance import LEVEL, enough_resamples


@dataclass(frozen=True, slots=True)
class SeedMetric:
    """One metric of one method over its seeds."""

    interval: Interval
    """Mean over users and seeds, with a 95 % interval over users."""
    deviation: float
    """Sample standard deviation over the seeds."""
    by_seed: tuple[float, ...]
    """The metric of each seed."""


@dataclass(frozen=True, eq=False, slots=True)
class Standing:
    """One method with all its cells, a row of the table."""

    name: str
    method: str
    settings: Mapping[str, Any]
    """Settings of the training: given, or found by tuning."""
    cells: Mapping[int, FinishedCell] = field(default_factory=dict)
    """Finished cells by seed."""
    failures: Mapping[int, str] = field(default_factory=dict)
    """Errors of the other cells by seed, in one line."""
    trials: int = 0
    """Number of settings that tuning tried."""
    _measured: dict[str, SeedMetric] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> list[Any]:
        """Results of all finished seeds."""
        return [cell.result for cell in self.cells.values()]

    @property
    def whole(self) -> bool:
        """Whether all seeds finished; otherwise the method is not compared."""
        return bool(self.cells) and not self.failures

    def worth(self, metric: str) -> FloatArray:
        """Numbers [U] of the rows for a metric, averaged over the seeds: a hit, a gain, or an error (squared for
        RMSE)."""
        values = measure_of(metric).values
        return np.mean([values(result) for result in self.results], axis=0)

    def metric(self, metric: str) -> SeedMetric:
        """One metric over all seeds; computed once and kept."""
        if metric not in self._measured:
            measure = measure_of(metric)
            interval = measure.interval(self.worth(metric), self.results[0].user_ids)
            by_seed = tuple(measure.of(measure.values(result)) for result in self.results)
            self._measured[metric] = SeedMetric(interval, spread(by_seed), by_seed)
        return self._measured[metric]

    def in_groups(self, metric: str, groups: Groups) -> list[Interval | None]:
        """The metric in each group of rows, over all seeds, with its interval; None for too few rows."""
        return intervals_of(self.worth(metric), self.results[0].user_ids, metric, groups)

    def mean_of(self, place: str, name: str) -> float | None:
        """Mean over seeds of the number `name` in section `place` (`seconds`, `rates`) of the cells; None where no cell
        has it."""
        values = [cell.about[place][name] for cell in self.cells.values() if name in (cell.about.get(place) or {})]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of a method from the baseline in one metric."""

    name: str
    baseline: str
    metric: str
    paired: PairedDifference
    corrected: float
    """p-value after Holm's correction over the table."""
    detectable: float
    """Smallest true difference that this comparison would find with power 0.8, without the correction."""

    @property
    def clear(self) -> bool:
        """Whether the difference is significant at 5 % after the correction."""
        return self.corrected < LEVEL

    def to_dict(self) -> dict[str, Any]:
        """An entry of `paired` in `metrics.json`."""
        return {
            "name": self.name,
            "baseline": self.baseline,
            "metric": self.metric,
            "difference": self.paired.difference,
            "ci": [self.paired.lo, self.paired.hi],
            "p_value": self.paired.p_value,
            "p_holm": self.corrected,
            "significant": self.clear,
            "detectable": self.detectable,
        }


def differences(standings: Sequence[Standing], baseline: str, metrics: Sequence[str]) -> list[Difference]:
    """Differences of all complete methods from the baseline under one correction; empty where the baseline is not
    complete.

    Args:
        standings: the table.
        baseline: name of one of them.
        metrics: tested metrics; the correction is over methods times metrics.
    """
    known = {standing.name: standing for standing in standings if standing.whole}
    if baseline not in known:
        return []
    base = known.pop(baseline)
    count = len(known) * len(metrics)
    found: list[tuple[str, str, PairedDifference, float]] = []
    for name, standing in known.items():
        users = _same_users(standing, base)
        for metric in metrics:
            measure, mine, theirs = measure_of(metric), standing.worth(metric), base.worth(metric)
            paired = measure.paired(mine, theirs, users, enough_resamples(count))
            found.append((name, metric, paired, measure.detectable(mine, theirs, users)))
    corrected = holm([paired.p_value for _, _, paired, _ in found])
    return [
        Difference(name, baseline, metric, paired, p, detectable)
        for (name, metric, paired, detectable), p in zip(found, corrected, strict=True)
    ]


def _same_users(standing: Standing, base: Standing) -> Any:
    users = base.results[0].user_ids
    for result in standing.results:
        if not np.array_equal(np.asarray(result.user_ids), np.asarray(users)):
            raise DataError(f"{standing.name} against {base.name}", "the rows differ", "compare again in a new folder")
    return users
