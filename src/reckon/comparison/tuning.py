"""The same tuning budget for every method: a random search over its settings, judged on validation rows.

Entry points: `trials_of` draws the settings, `best_trial` reads what they were worth. The first trial is always the
settings that the config gives, so tuning cannot make a method worse on the rows that judge it.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reckon.errors import ConfigError

SEARCH_SEED = 0  # of all random searches: they belong to the comparison, not to a training seed
ENOUGH = 10_000  # combinations that are listed; more are drawn blindly


def check_search(search: Mapping[str, Any], path: str) -> dict[str, list[Any]]:
    """A search space with a list of values for each setting. Raises ConfigError by the field's path."""
    for name, values in search.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(f"{path}.{name}", values, "must be a list of values to draw from", "write [a, b, c]")
    return {name: list(values) for name, values in search.items()}


def trials_of(
    values: Mapping[str, Any], search: Mapping[str, Sequence[Any]], count: int, name: str
) -> list[dict[str, Any]]:
    """At most `count` different settings, the given ones first.

    Args:
        values: as the config gives them.
        search: settings, each with its values; a setting in it wins over the given one.
        count: the budget, the same for all methods; 0 is no tuning.
        name: of the method; draws differ between methods and are the same in every run.
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
    """The place of the best score, the first of equals; None where every trial failed."""
    sign = -1 if lower_is_better else 1
    known = [(sign * score, -place) for place, score in enumerate(scores) if score is not None]
    return -max(known)[1] if known else None
