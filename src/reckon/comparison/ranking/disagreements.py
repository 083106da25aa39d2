"""The rows that methods rank most differently.

Entry points: `disagreements`; `contested_rows` chooses the rows for both tasks.
"""

from collections.abc import Sequence

import numpy as np

from reckon.comparison.disagreement import Disagreement, View
from reckon.comparison.statistics import Standing
from reckon.data import Dataset, Examples
from reckon.metrics.bootstrap import FloatArray

SHOWN_ITEMS = 3  # shown items of each method's list
SHOWN_METHODS = 4


def disagreements(
    standings: Sequence[Standing], examples: Examples, dataset: Dataset, count: int = 6
) -> list[Disagreement]:
    """Rows with the largest differences in reciprocal rank between at most SHOWN_METHODS methods; the methods alternate
    as the best one.

    Args:
        standings: complete ones, most important first; their first seed is shown.
        examples: the rows, with their histories.
        dataset: gives titles and training counts.
        count: most rows.
    """
    shown = list(standings[:SHOWN_METHODS])
    if len(shown) < 2:
        return []
    worth = np.stack([1 / standing.results[0].ranks for standing in shown])  # [M, U]
    return [_view_of(shown, examples, dataset, row) for row in contested_rows(worth, count)]


def contested_rows(worth: FloatArray, count: int) -> list[int]:
    """At most `count` rows with the largest difference of `worth` [M, U] between the M methods, which alternate as the
    best one."""
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
