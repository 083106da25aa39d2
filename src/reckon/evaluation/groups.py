"""Metrics in groups of rows, such as rows with short and with long histories.

Entry points: `groups_of` groups rows by given bounds, `terciles` into three groups of similar size; `intervals_of`
computes a metric in each group, `grouped` for several results. `reckon.evaluation.ranking.groups` and
`reckon.evaluation.rating.groups` compute the values that group rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reckon.data.examples import IntArray
from reckon.metrics import Interval
from reckon.metrics.bootstrap import FloatArray
from reckon.metrics.measures import measure_of

LENGTHS = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, None))
POPULARITY = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 200), (201, None))
LEAST_ROWS = 10  # least rows of a group for which a metric is computed
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Groups:
    """A partition of rows into groups."""

    labels: tuple[str, ...]
    """Name of each group, with its number of rows on a second line."""
    of_row: IntArray
    """[U] group of each row, as an index of `labels`."""


@dataclass(frozen=True, slots=True)
class GroupedMetric:
    """One metric of several results in the same groups of rows."""

    by: str
    """The value that groups the rows."""
    metric: str
    labels: tuple[str, ...]
    means: Mapping[str, Sequence[Interval | None]]
    """Intervals by the result's name: one per group, None for fewer than LEAST_ROWS rows."""

    def to_dict(self) -> dict[str, Any]:
        """An entry of `groups` in `metrics.json`."""
        means = {
            name: [None if one is None else [one.mean, one.lo, one.hi] for one in found]
            for name, found in self.means.items()
        }
        labels = [label.replace("\n", ", ") for label in self.labels]
        return {"by": self.by, "metric": self.metric, "groups": labels, "mean_lo_hi": means}


def groups_of(values: IntArray, bounds: Sequence[tuple[int, int | None]]) -> Groups:
    """Group rows by the bounds of their values [U]; bounds without rows are left out."""
    place = np.full(len(values), -1, dtype=np.int64)
    labels: list[str] = []
    for low, high in bounds:
        inside = (values >= low) & (values <= (np.inf if high is None else high))
        if inside.any():
            place[inside] = len(labels)
            name = f"{low}+" if high is None else str(low) if low == high else f"{low}–{high}"
            labels.append(f"{name}\n{inside.sum():,} rows")
    return Groups(tuple(labels), place)


def terciles(values: IntArray) -> Groups:
    """Group rows by their values [U] into at most three groups of similar size, low values first; equal values stay
    together."""
    ends = [int(end) for end in np.quantile(values, (1 / 3, 2 / 3, 1), method="inverted_cdf")]
    starts = [int(values.min()), ends[0] + 1, ends[1] + 1]
    # A group's name has its lowest and highest present value: 4–9 where no row has 2 or 3.
    held = [values[(values >= start) & (values <= end)] for start, end in zip(starts, ends, strict=True)]
    return groups_of(values, [(int(one.min()), int(one.max())) for one in held if len(one)])


def intervals_of(values: FloatArray, users: Any, metric: str, groups: Groups) -> list[Interval | None]:
    """Metric of each group with its 95 % interval over users; None for fewer than LEAST_ROWS rows.

    Args:
        values: [U] numbers of the rows for `reckon.metrics.measures`.
        users: [U] user of each row.
        metric: name of the metric.
        groups: groups of the same rows.
    """
    measure, users, found = measure_of(metric), np.asarray(users), list[Interval | None]()
    for group in range(len(groups.labels)):
        inside = groups.of_row == group
        enough = inside.sum() >= LEAST_ROWS
        found.append(measure.interval(values[inside], users[inside], resamples=RESAMPLES) if enough else None)
    return found


def grouped(results: Sequence[Any], metric: str, asked: Mapping[str, IntArray]) -> list[GroupedMetric]:
    """One metric of every result, in terciles of each of the given values.

    Args:
        results: rankings or ratings of the same rows.
        metric: name of the metric.
        asked: values [U] that group the rows, by name.
    """
    found = []
    for by, values in asked.items():
        groups = terciles(values)
        means = {
            one.name: intervals_of(measure_of(metric).values(one), one.user_ids, metric, groups) for one in results
        }
        found.append(GroupedMetric(by, metric, groups.labels, means))
    return found
