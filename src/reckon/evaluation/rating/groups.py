"""Values that group rows of ratings: number of visible ratings of the user and of the item, and the true rating.

Entry points: `known_ratings` and `item_ratings`, one number per row; `by_known_ratings`, `by_item_ratings` and
`by_true_rating` group rows by fixed bounds.
"""

from itertools import pairwise

import numpy as np

from reckon.data.examples import IntArray
from reckon.data.ratings import RatingExamples
from reckon.data.scale import Scale
from reckon.evaluation.groups import LENGTHS, POPULARITY, Groups, groups_of

FEW = 11  # most values of a scale with one group per value, as 0 to 10
PARTS = 5  # groups of any other scale


def known_ratings(examples: RatingExamples) -> IntArray:
    """[R] number of visible ratings of the user."""
    return np.asarray(examples.visible_of_user[:, 1] - examples.visible_of_user[:, 0])


def item_ratings(examples: RatingExamples) -> IntArray:
    """[R] number of visible ratings of the item by others."""
    start, end, own = examples.visible_of_item.T
    return np.maximum(end - start - own, 0)


def by_known_ratings(examples: RatingExamples) -> Groups:
    """Groups of rows by the number of visible ratings of the user."""
    return groups_of(known_ratings(examples), LENGTHS)


def by_item_ratings(examples: RatingExamples) -> Groups:
    """Groups of rows by the number of visible ratings of the item by others."""
    return groups_of(item_ratings(examples), POPULARITY)


def by_true_rating(examples: RatingExamples, scale: Scale) -> Groups:
    """Groups of rows by true rating: by value on a scale of few values, else by PARTS equal parts of the scale."""
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
    """Whether a scale has at most FEW values."""
    return scale.step is not None and len(scale.values()) <= FEW
