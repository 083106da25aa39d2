"""What ranked rows are sorted by: how much is known of the user, and how popular the target is.

Entry points: `history_lengths` and `target_counts`, one number per row; `by_history_length` and `by_target_popularity`
sort by fixed bounds.
"""

import numpy as np

from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.evaluation.groups import LENGTHS, POPULARITY, Groups, groups_of


def history_lengths(examples: Examples) -> IntArray:
    """[U] events of the user before the target, also those before the window."""
    return np.asarray(examples.end - examples.first)


def target_counts(examples: Examples, dataset: Dataset) -> IntArray:
    """[U] how often the target occurs in training; 0 is a cold item, which only its text can recommend."""
    return np.asarray(dataset.train_counts[examples.targets])


def by_history_length(examples: Examples) -> Groups:
    """Rows by how many events of the user came before the target."""
    return groups_of(history_lengths(examples), LENGTHS)


def by_target_popularity(examples: Examples, dataset: Dataset) -> Groups:
    """Rows by how often the target occurs in training."""
    return groups_of(target_counts(examples, dataset), POPULARITY)
