"""Rows in groups, and rows on which methods disagree: where a mean over all rows hides what happens.

Entry points: `by_history_length`, `by_target_popularity`, `group_intervals`, `disagreements`; those of ratings are in
`reckon.comparison.rating.groups`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reckon.comparison.disagreement import Disagreement, View
from reckon.comparison.measures import measure_of
from reckon.comparison.statistics import Standing
from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.metrics import Interval
from reckon.metrics.bootstrap import FloatArray

LENGTHS = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, None))
POPULARITY = ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 200), (201, None))
LEAST_ROWS = 10  # of a group with a number of its own; fewer say nothing
SHOWN_ITEMS = 3  # of each method's list, in an example
SHOWN_METHODS = 4


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows sorted into groups."""

    labels: tuple[str, ...]
    """With the number of rows on a line of its own."""
    of_row: IntArray
    """[U] place in `labels`."""


def by_history_length(examples: Examples) -> Groups:
    """Rows by how many events of the user came before the target."""
    return groups_of(np.asarray(examples.end - examples.first), LENGTHS)


def by_target_popularity(examples: Examples, dataset: Dataset) -> Groups:
    """Rows by how often the target occurs in training; 0 is a cold item, which only its text can recommend."""
    return groups_of(dataset.train_counts[examples.targets], POPULARITY)


def group_intervals(standing: Standing, metric: str, groups: Groups) -> list[Interval | None]:
    """The metric over rows and seeds in each group, with its interval; None for fewer than LEAST_ROWS rows."""
    measure, values = measure_of(metric), standing.worth(metric)
    users, found = np.asarray(standing.results[0].user_ids), list[Interval | None]()
    for group in range(len(groups.labels)):
        inside = groups.of_row == group
        enough = inside.sum() >= LEAST_ROWS
        found.append(measure.interval(values[inside], users[inside], resamples=500) if enough else None)
    return found


def disagreements(
    standings: Sequence[Standing], examples: Examples, dataset: Dataset, count: int = 6
) -> list[Disagreement]:
    """Rows on which the reciprocal ranks of at most SHOWN_METHODS methods differ most, each method the winner in turns.

    Args:
        standings: whole ones, the most interesting first; their first seed is shown.
        examples: the rows, with the histories to show.
        dataset: their catalog and training counts.
        count: rows at most.
    """
    shown = list(standings[:SHOWN_METHODS])
    if len(shown) < 2:
        return []
    worth = np.stack([1 / standing.results[0].ranks for standing in shown])  # [M, U]
    return [_view_of(shown, examples, dataset, row) for row in contested_rows(worth, count)]


def contested_rows(worth: FloatArray, count: int) -> list[int]:
    """At most `count` rows where worth [M, U] differs most between the M methods, each of them the winner in turns."""
    spread, winner = worth.max(axis=0) - worth.min(axis=0), worth.argmax(axis=0)
    order = np.argsort(-spread, kind="stable")
    queues = [[row for row in order if winner[row] == method and spread[row] > 0] for method in range(len(worth))]
    turns = [int(row) for turn in range(count) for queue in queues for row in queue[turn : turn + 1]]
    return turns[:count]


def _view_of(shown: Sequence[Standing], examples: Examples, dataset: Dataset, row: int) -> Disagreement:
    titles, target = dataset.catalog.titles, int(examples.targets[row])
    views = []
    for standing in shown:
        cell = next(iter(standing.cells.values()))
        rank = int(cell.recommendations.ranks[row])
        items = [int(item) for item in cell.recommendations.items[row][:SHOWN_ITEMS] if item >= 0]
        found = None if rank > len(dataset.catalog) else rank
        views.append(View(standing.name, found, [titles[item] for item in items], cell.recommendations.reasonings[row]))
    return Disagreement(
        str(examples.user_ids[row]),
        [titles[int(item)] for item in examples.history(row)],
        titles[target],
        int(dataset.train_counts[target]),
        views,
    )


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
