"""What rows of ratings are sorted by: how much is known of the user and of the item, and the rating itself.

Entry points: `known_ratings` and `item_ratings`, one number per row; `by_known_ratings`, `by_item_ratings` and
`by_true_rating` sort by fixed bounds.
"""

from itertools import pairwise

import numpy as np

from reckon.data.examples import IntArray
from reckon.data.ratings import RatingExamples
from reckon.data.scale import Scale
from reckon.evaluation.groups import LENGTHS, POPULARITY, Groups, groups_of

FEW = 11  # values of a scale that are taken one by one, as 0 to 10
PARTS = 5  # of a scale with many values, or with any value in between


def known_ratings(examples: RatingExamples) -> IntArray:
    """[R] ratings of the user that are visible."""
    return np.asarray(examples.visible_of_user[:, 1] - examples.visible_of_user[:, 0])


def item_ratings(examples: RatingExamples) -> IntArray:
    """[R] ratings of the item by others that are visible; 0 is an item that nobody is known to have rated."""
    start, end, own = examples.visible_of_item.T
    return np.maximum(end - start - own, 0)


def by_known_ratings(examples: RatingExamples) -> Groups:
    """Rows by how many ratings of the user are visible."""
    return groups_of(known_ratings(examples), LENGTHS)


def by_item_ratings(examples: RatingExamples) -> Groups:
    """Rows by how many ratings of the item by others are visible."""
    return groups_of(item_ratings(examples), POPULARITY)


def by_true_rating(examples: RatingExamples, scale: Scale) -> Groups:
    """Rows by the rating that was given, or by PARTS equal parts of a scale with many values."""
    if few_values(scale):
        values = np.array(scale.values())
        place = np.abs(examples.ratings[:, None] - values).argmin(axis=1)
        names = [f"{value:g}" for value in values]
    else:
        edges = np.linspace(scale.lowest, scale.highest, PARTS + 1)
        place = np.clip(np.searchsorted(edges, examples.ratings, side="right") - 1, 0, PARTS - 1)
        names = [f"{low:.3g}–{high:.3g}" for low, high in pairwise(edges)]
    present, of_row, counts = np.unique(place, return_inverse=True, return_counts=True)
    labels = [f"{names[value]}\n{count:,} rows" for value, count in zip(present, counts, strict=True)]
    return Groups(tuple(labels), of_row)


def few_values(scale: Scale) -> bool:
    """Whether the values of a scale are few enough to be taken one by one."""
    return scale.step is not None and len(scale.values()) <= FEW
