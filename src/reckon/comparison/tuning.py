"""Random search over a method's settings on validation rows, with the same budget for every method.

Entry points: `trials_of` draws the settings, `best_trial` chooses the best. The first trial has the given settings, so
tuning cannot lower the score on the validation rows.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reckon.errors import ConfigError

SEARCH_SEED = 0  # seed of all random searches; independent of training seeds
ENOUGH = 10_000  # a search space of at most this many combinations is enumerated


def check_search(search: Mapping[str, Any], path: str) -> dict[str, list[Any]]:
    """Check that a search space has a list of values for each setting. Raises ConfigError with the path of the
    setting."""
    for name, values in search.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(f"{path}.{name}", values, "must be a list of values to draw from", "write [a, b, c]")
    return {name: list(values) for name, values in search.items()}


def trials_of(
    values: Mapping[str, Any], search: Mapping[str, Sequence[Any]], count: int, name: str
) -> list[dict[str, Any]]:
    """At most `count` different settings, the given ones first.

    Args:
        values: the given settings.
        search: search space; its values replace the given ones.
        count: number of trials; 0 is no tuning.
        name: name of the method; part of the seed of the draws.
    """
    trials = [dict(values)]
    if not search or count < 2:
        return trials[:count]
    rng = np.random.default_rng([SEARCH_SEED, *hashlib.sha256(name.encode()).digest()[:8]])
    size = int(np.prod([len(options) for options in search.values()], dtype=object))
    if size <= ENOUGH:
        every = list(itertools.product(*search.values()))
        drawn = [every[place] for place in rng.permutation(len(every))]
    else:
        drawn = [tuple(o[int(rng.integers(len(o)))] for o in search.values()) for _ in range(count)]
    for choice in drawn:
        trial = dict(values) | dict(zip(search, choice, strict=True))
        if trial not in trials:
            trials.append(trial)
    return trials[:count]


def best_trial(scores: Sequence[float | None], lower_is_better: bool = False) -> int | None:
    """Index of the best score, the first of ties; None where all trials failed."""
    sign = -1 if lower_is_better else 1
    known = [(sign * score, -place) for place, score in enumerate(scores) if score is not None]
    return -max(known)[1] if known else None
