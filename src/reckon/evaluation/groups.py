"""Rows in groups: where a mean over all rows hides for whom a method works.

Entry points: `groups_of` sorts rows by given bounds, `terciles` into three groups of like size; `intervals_of` takes a
metric in each group; `grouped` does so for every result. What rows are sorted by is in
`reckon.evaluation.ranking.groups` and `reckon.evaluation.rating.groups`.
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
LEAST_ROWS = 10  # of a group with a number of its own; fewer say nothing
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows sorted into groups."""

    labels: tuple[str, ...]
    """With the number of rows on a line of its own."""
    of_row: IntArray
    """[U] place in `labels`."""


@dataclass(frozen=True, slots=True)
class GroupedMetric:
    """One metric of several results in the same groups of rows."""

    by: str
    """What the rows are sorted by."""
    metric: str
    labels: tuple[str, ...]
    means: Mapping[str, Sequence[Interval | None]]
    """By the result's name: one interval per group, None for fewer than LEAST_ROWS rows."""

    def to_dict(self) -> dict[str, Any]:
        """An entry of `groups` in `metrics.json`."""
        means = {
            name: [None if one is None else [one.mean, one.lo, one.hi] for one in found]
            for name, found in self.means.items()
        }
        labels = [label.replace("\n", ", ") for label in self.labels]
        return {"by": self.by, "metric": self.metric, "groups": labels, "mean_lo_hi": means}


def groups_of(values: IntArray, bounds: Sequence[tuple[int, int | None]]) -> Groups:
    """Rows by the bounds their value lies in; bounds without rows are left out."""
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
    """Rows in at most three groups of like size, low values first; equal values [U] stay together."""
    ends = [int(end) for end in np.quantile(values, (1 / 3, 2 / 3, 1), method="inverted_cdf")]
    starts = [int(values.min()), ends[0] + 1, ends[1] + 1]
    # A group is named by the values it really holds: 4–9, where no row has 2 or 3.
    held = [values[(values >= start) & (values <= end)] for start, end in zip(starts, ends, strict=True)]
    return groups_of(values, [(int(one.min()), int(one.max())) for one in held if len(one)])


def intervals_of(values: FloatArray, users: Any, metric: str, groups: Groups) -> list[Interval | None]:
    """The metric in each group with its 95 % interval over users; None for fewer than LEAST_ROWS rows.

    Args:
        values: [U] the rows' numbers, as `reckon.metrics.measures` takes them.
        users: [U] who each row belongs to.
        metric: its name.
        groups: of the same rows.
    """
    measure, users, found = measure_of(metric), np.asarray(users), list[Interval | None]()
    for group in range(len(groups.labels)):
        inside = groups.of_row == group
        enough = inside.sum() >= LEAST_ROWS
        found.append(measure.interval(values[inside], users[inside], resamples=RESAMPLES) if enough else None)
    return found


def grouped(results: Sequence[Any], metric: str, asked: Mapping[str, IntArray]) -> list[GroupedMetric]:
    """One metric of every result in terciles of each of the given values.

    Args:
        results: rankings or ratings of the same rows.
        metric: its name.
        asked: [U] a number per row, by what it is.
    """
    found = []
    for by, values in asked.items():
        groups = terciles(values)
        means = {
            one.name: intervals_of(measure_of(metric).values(one), one.user_ids, metric, groups) for one in results
        }
        found.append(GroupedMetric(by, metric, groups.labels, means))
    return found
