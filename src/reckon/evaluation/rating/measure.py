"""Table rows of an evaluation of ratings: errors with intervals, problems of replies, paired differences.

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
    """One predictor with its metrics, a row of the table."""

    result: RatingResult
    summary: Mapping[str, Any]
    """`reckon.metrics.rating.rating_summary` of the result."""
    problems: Mapping[str, int] | None = None
    """Number of replies by problem, most frequent first; None for a predictor without replies."""

    @property
    def name(self) -> str:
        """Name in tables and charts."""
        return self.result.name

    @property
    def writes(self) -> bool:
        """Whether the predictor writes replies: True for a run, False for a baseline."""
        return self.problems is not None

    def to_dict(self) -> dict[str, Any]:
        """The row as an entry of `metrics.json`: summary, rates and, for a run, problems."""
        problems = {} if self.problems is None else {"problems": dict(self.problems)}
        return dict(self.summary) | dict(self.result.rates) | problems


def measure(result: RatingResult, problems: Mapping[str, int] | None = None) -> RatingRow:
    """Compute errors and intervals of a result; call it once per result, because resampling many rows takes seconds."""
    counted = None if problems is None else dict(sorted(problems.items(), key=lambda one: (-one[1], one[0])))
    return RatingRow(result, rating_summary(result), counted)


def compare_last(rows: Sequence[RatingRow]) -> list[Pair]:
    """Paired differences in MAE and RMSE of the last row from each other row; below 0 the last row is better.

    Raises:
        DataError: a row has other users, other targets or another scale.
    """
    *others, main = rows
    return [
        Pair(main.name, row.name, metric, DIFFERENCES[metric](main.result, row.result))
        for row in others
        for metric in METRICS
    ]
