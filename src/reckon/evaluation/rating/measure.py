"""Predictors of ratings, measured once: errors with intervals, problems of replies, paired differences.

Entry points: `measure` makes a `RatingRow` of a result; `compare_last` compares rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reckon.evaluation.pairs import Pair
from reckon.metrics.rating import RatingResult, mae_difference, rating_summary, rmse_difference

METRICS = ("mae", "rmse")
DIFFERENCES = {"mae": mae_difference, "rmse": rmse_difference}


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One predictor, measured once: what every table and chart shows of it."""

    result: RatingResult
    summary: Mapping[str, Any]
    """`reckon.metrics.rating.rating_summary` of the result."""
    problems: Mapping[str, int] | None = None
    """Replies by what was wrong with them, most frequent first; None for a predictor that writes no replies."""

    @property
    def name(self) -> str:
        """The name in tables and charts."""
        return self.result.name

    @property
    def writes(self) -> bool:
        """Whether it writes replies: a run, not a baseline."""
        return self.problems is not None

    def to_dict(self) -> dict[str, Any]:
        """The row of `metrics.json`: summary, rates, and for a run its problems."""
        problems = {} if self.problems is None else {"problems": dict(self.problems)}
        return dict(self.summary) | dict(self.result.rates) | problems


def measure(result: RatingResult, problems: Mapping[str, int] | None = None) -> RatingRow:
    """Take the errors and their intervals, which for many rows is seconds of resampling: once per result."""
    counted = None if problems is None else dict(sorted(problems.items(), key=lambda one: (-one[1], one[0])))
    return RatingRow(result, rating_summary(result), counted)


def compare_last(rows: Sequence[RatingRow]) -> list[Pair]:
    """Paired differences in MAE and RMSE of the last row from each row before it; below 0 the last one is better.

    Raises:
        DataError: a row holds other users, targets or another scale.
    """
    *others, main = rows
    return [
        Pair(main.name, row.name, metric, DIFFERENCES[metric](main.result, row.result))
        for row in others
        for metric in METRICS
    ]
