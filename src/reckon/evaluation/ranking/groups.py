"""Values that group ranked rows: length of the history, popularity of the target.

Entry points: `history_lengths` and `target_counts`, one number per row; `by_history_length` and `by_target_popularity`
group rows by fixed bounds.
"""

import numpy as np

from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.evaluation.groups import LENGTHS, POPULARITY, Groups, groups_of


def history_lengths(examples: Examples) -> IntArray:
    """[U] number of the user's events before the target, those before the window included."""
    return np.asarray(examples.end - examples.first)


def target_counts(examples: Examples, dataset: Dataset) -> IntArray:
    """[U] training interactions of the target; 0 is a cold item, which only content can rank."""
    return np.asarray(dataset.train_counts[examples.targets])


def by_history_length(examples: Examples) -> Groups:
    """Groups of rows by the number of the user's events before the target."""
    return groups_of(history_lengths(examples), LENGTHS)


def by_target_popularity(examples: Examples, dataset: Dataset) -> Groups:
    """Groups of rows by the target's training interactions."""
    return groups_of(target_counts(examples, dataset), POPULARITY)
