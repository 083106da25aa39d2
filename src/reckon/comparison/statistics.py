"""What the cells of a comparison say together: means over seeds, differences from the baseline, and what is clear.

Entry points: `Standing` holds one method's cells; `differences` compares every method with the baseline under Holm's
correction.

Two kinds of chance are kept apart. The interval is over users: each row's number is first averaged over the seeds, and
users are resampled. The spread is over seeds: the sample deviation of the seeds' metrics. RMSE over seeds is the root
of the mean squared error of all rows and seeds.
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
    """One metric of one method."""

    interval: Interval
    """Over users and seeds; 95 % over users."""
    deviation: float
    """Sample deviation over the seeds."""
    by_seed: tuple[float, ...]
    """Each seed's own."""


@dataclass(frozen=True, eq=False, slots=True)
class Standing:
    """One method of the table."""

    name: str
    method: str
    settings: Mapping[str, Any]
    """As they were trained: given, or found by tuning."""
    cells: Mapping[int, FinishedCell] = field(default_factory=dict)
    """By seed; those that finished."""
    failures: Mapping[int, str] = field(default_factory=dict)
    """By seed: what went wrong, in one line."""
    trials: int = 0
    """Settings that tuning tried."""
    _measured: dict[str, SeedMetric] = field(default_factory=dict, repr=False)

    @property
    def results(self) -> list[Any]:
        """Of every finished seed."""
        return [cell.result for cell in self.cells.values()]

    @property
    def whole(self) -> bool:
        """Whether every seed finished: only then the method is compared."""
        return bool(self.cells) and not self.failures

    def worth(self, metric: str) -> FloatArray:
        """[U] what each row adds to the metric, averaged over the seeds: its hit, or its error (squared, for RMSE)."""
        values = measure_of(metric).values
        return np.mean([values(result) for result in self.results], axis=0)

    def metric(self, metric: str) -> SeedMetric:
        """One metric over all seeds; measured once, since tables and charts ask for the same."""
        if metric not in self._measured:
            measure = measure_of(metric)
            interval = measure.interval(self.worth(metric), self.results[0].user_ids)
            by_seed = tuple(measure.of(measure.values(result)) for result in self.results)
            self._measured[metric] = SeedMetric(interval, spread(by_seed), by_seed)
        return self._measured[metric]

    def in_groups(self, metric: str, groups: Groups) -> list[Interval | None]:
        """The metric over rows and seeds in each group, with its interval; None for too few rows."""
        return intervals_of(self.worth(metric), self.results[0].user_ids, metric, groups)

    def mean_of(self, place: str, name: str) -> float | None:
        """Mean over seeds of a number in the cells' `place` (`seconds`, `rates`); None where no cell has it."""
        values = [cell.about[place][name] for cell in self.cells.values() if name in (cell.about.get(place) or {})]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True, slots=True)
class Difference:
    """A method minus the baseline in one metric."""

    name: str
    baseline: str
    metric: str
    paired: PairedDifference
    corrected: float
    """p-value after Holm's correction over the table."""
    detectable: float
    """The least true difference that this comparison would find with power 0.8, uncorrected."""

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
    """Every whole method against the baseline, corrected together; none where the baseline itself failed.

    Args:
        standings: the table.
        baseline: a name in it.
        metrics: the correction is over methods times metrics.
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
