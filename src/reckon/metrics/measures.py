"""A metric as one number per row, and how those numbers become the metric, its interval and its differences.

Entry point: `measure_of` finds the measure of a metric's name. Most metrics are the mean over rows; RMSE is the square
root of the mean, so its intervals and differences are those of roots.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from reckon.metrics import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    metric_values,
    minimum_detectable_difference,
    paired_interval,
)
from reckon.metrics.bootstrap import FloatArray, Users, bootstrap_root_interval, paired_root_interval
from reckon.metrics.rating import RatingResult, absolute_errors, squared_errors


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric. Its methods take numbers [U], one per row: those of one result, or their means over seeds."""

    values: Callable[[Any], FloatArray]
    """A result to its numbers [U], one per row."""
    lower_is_better: bool = False
    root: bool = False
    """Whether the metric is the square root of the mean."""

    def of(self, values: FloatArray) -> float:
        """The metric."""
        mean = float(np.mean(values))
        return float(np.sqrt(mean)) if self.root else mean

    def interval(self, values: FloatArray, users: Users | None, resamples: int = 2000) -> Interval:
        """The metric with its 95 % interval over users."""
        return (bootstrap_root_interval if self.root else bootstrap_interval)(values, users, resamples=resamples)

    def paired(self, values: FloatArray, baseline: FloatArray, users: Users, resamples: int) -> PairedDifference:
        """The metric minus the baseline's metric on the same rows."""
        return (paired_root_interval if self.root else paired_interval)(values, baseline, users, resamples=resamples)

    def detectable(self, values: FloatArray, baseline: FloatArray, users: Users) -> float:
        """Smallest true difference that this comparison would find with power 0.8.

        The difference of two roots is linearised around the two means (delta method).
        """
        differences = _from_root(values) - _from_root(baseline) if self.root else values - baseline
        return minimum_detectable_difference(differences, users)


def _from_root(values: FloatArray) -> FloatArray:
    """[U] numbers whose mean has, to first order, the sampling error of the root of the mean; 0 where all values are
    0."""
    root = float(np.sqrt(np.mean(values)))
    return values / (2 * root) if root > 0 else np.zeros_like(values)


def _parsed(result: RatingResult) -> FloatArray:
    return (~np.isnan(result.predictions)).astype(np.float64)


RATING_MEASURES = {
    "mae": Measure(absolute_errors, lower_is_better=True),
    "rmse": Measure(squared_errors, lower_is_better=True, root=True),
    "parse_rate": Measure(_parsed),
}


def measure_of(metric: str) -> Measure:
    """The measure of that name, such as `hit@10`, `mae` or `rmse`."""
    return RATING_MEASURES.get(metric) or Measure(partial(metric_values, metric=metric))
