"""Repeat interactions: how often users take an item again, and whether a recommender may offer it again.

Entry points: `settled`, which turns the setting `exclude_seen` into a decision, and `repeat_share`.
"""

import logging
from typing import Literal

from reckon.data.dataset import Dataset
from reckon.data.examples import Examples

ExcludeSeen = bool | Literal["auto"]
"""Setting: exclude items of the history always, never, or (`auto`) where repeats are rare in training."""
RARE = 0.01  # share of repeats up to which `auto` excludes, and above which an excluded target is worth a warning
SAMPLE = 20_000  # rows that a share is measured on

log = logging.getLogger(__name__)


def repeat_share(examples: Examples) -> float:
    """Share of rows, in [0, 1], whose target is in their own whole history; of at most SAMPLE rows, drawn by seed 0."""
    return float(examples.sample(SAMPLE, seed=0).repeats.mean()) if len(examples) else 0.0


def settled(choice: ExcludeSeen, dataset: Dataset) -> bool:
    """Whether items of the history are excluded.

    Args:
        choice: True and False stand; `auto` excludes them unless more than RARE of the training rows are repeats.
        dataset: only its training rows are read.
    """
    if choice != "auto":
        return choice
    share = repeat_share(dataset.examples("train", 1))
    if share > RARE:
        log.warning(
            "%.1f %% of training targets are in their own history: exclude_seen is set to false, repeats may be "
            "recommended. Set it to true where they must not.",
            100 * share,
        )
    return share <= RARE
