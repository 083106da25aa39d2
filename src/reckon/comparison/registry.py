"""What a comparison can name: every method, and the two tasks.

Entry points: `contestant` finds a method by its name, `CONTESTANTS` lists the names, `TASKS` holds the tasks.
"""

import difflib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.oracle import Oracle
from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.comparison.ranking.contestants import BaselineContestant, Contestant, MethodContestant
from reckon.comparison.ranking.task import RankingTask
from reckon.comparison.rating.contestants import RatingBaselineContestant, RatingModelContestant
from reckon.comparison.rating.task import RatingTask
from reckon.comparison.task import Task
from reckon.errors import ConfigError
from reckon.runs.read import Task as TaskName

TASKS: Mapping[TaskName, Task[Any, Any, Any, Any]] = {"ranking": RankingTask(), "rating": RatingTask()}

CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    **{name: partial(BaselineContestant, baseline) for name, baseline in RANKING_BASELINES.items()},
    "oracle": lambda: BaselineContestant(Oracle),
    "r2ec": lambda: MethodContestant("r2ec", "r2ec", "full"),
    "no-reasoning": lambda: MethodContestant("no-reasoning", "r2ec", "no-reasoning"),
    "rporec": lambda: MethodContestant("rporec", "rporec", "full"),
    "history-only": lambda: MethodContestant("history-only", "rporec", "history-only"),
    **{name: partial(RatingBaselineContestant, baseline) for name, baseline in RATING_BASELINES.items()},
    "reczero": lambda: RatingModelContestant("reczero"),
    "recone": lambda: RatingModelContestant("recone"),
}


def contestant(name: str, path: str) -> Contestant:
    """The contestant of that name. Raises ConfigError, by its path in the config, for an unknown one."""
    if name not in CONTESTANTS:
        near = difflib.get_close_matches(name, CONTESTANTS, n=1)
        fix = f"did you mean {near[0]}" if near else f"use one of {', '.join(CONTESTANTS)}"
        raise ConfigError(path, name, "is no method", fix)
    return CONTESTANTS[name]()
