"""The names of a comparison: all baselines, all arms of methods, and the two tasks.

Entry points: `contestant` makes a contestant by its name, `contestants` lists the names, `TASKS` holds the tasks.
"""

import difflib
from collections.abc import Callable, Mapping
from functools import partial

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.oracle import Oracle
from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.comparison.contestant import Contestant, MethodContestant
from reckon.comparison.ranking.contestants import BaselineContestant, RankingMethod
from reckon.comparison.ranking.task import RankingTask
from reckon.comparison.rating.contestants import RatingBaselineContestant, RatingMethod
from reckon.comparison.rating.task import RatingTask
from reckon.comparison.task import Task
from reckon.errors import ConfigError
from reckon.methods.method import Task as TaskName
from reckon.methods.registry import contestants as methods

TASKS: Mapping[TaskName, Task] = {"ranking": RankingTask(), "rating": RatingTask()}
KINDS: Mapping[TaskName, type[MethodContestant]] = {"ranking": RankingMethod, "rating": RatingMethod}


def contestants() -> dict[str, Callable[[], Contestant]]:
    """Factories of the contestants, by name."""
    return {
        **{name: partial(BaselineContestant, baseline) for name, baseline in RANKING_BASELINES.items()},
        Oracle.NAME: partial(BaselineContestant, Oracle),
        **{name: partial(RatingBaselineContestant, baseline) for name, baseline in RATING_BASELINES.items()},
        **{name: partial(KINDS[method.task], method, arm) for name, (method, arm) in methods().items()},
    }


def contestant(name: str, path: str) -> Contestant:
    """The contestant of that name. Raises ConfigError with its path in the config for an unknown name."""
    found = contestants()
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        fix = f"did you mean {near[0]}" if near else f"use one of {', '.join(found)}"
        raise ConfigError(path, name, "is no method", fix)
    return found[name]()
