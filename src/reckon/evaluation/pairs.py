"""Paired differences between results on the same rows.

Entry points: `compare` for rankings, `find_result`; `Pair` is one difference in a metric of either task.
`reckon.evaluation.rating.measure` computes those of ratings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reckon.errors import ConfigError
from reckon.metrics import PairedDifference, RankingResult, paired_difference


@dataclass(frozen=True, slots=True)
class Pair:
    """One paired difference: `name` minus `baseline` in one metric, on the same rows."""

    name: str
    baseline: str
    metric: str
    paired: PairedDifference

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval excludes zero."""
        return self.paired.lo > 0 or self.paired.hi < 0

    def to_dict(self) -> dict[str, Any]:
        """An entry of `paired` in `metrics.json`."""
        pair = self.paired
        return {
            "name": self.name,
            "baseline": self.baseline,
            "metric": self.metric,
            "difference": pair.difference,
            "ci": [pair.lo, pair.hi],
            "p_value": pair.p_value,
        }


def compare(
    results: Sequence[RankingResult], baseline_name: str, metrics: Sequence[str] = ("hit@5", "ndcg@10")
) -> list[Pair]:
    """Paired differences of all other results from the result named `baseline_name`, in the order of the results.

    Raises:
        ConfigError: no result has that name.
        DataError: a result has other rows than the baseline.
    """
    baseline = find_result(results, baseline_name)
    return [
        Pair(result.name, baseline.name, metric, paired_difference(result, baseline, metric))
        for result in results
        if result is not baseline
        for metric in metrics
    ]


def find_result(results: Sequence[RankingResult], name: str) -> RankingResult:
    """The result of that name. Raises ConfigError, with the known names, for an unknown one."""
    for result in results:
        if result.name == name:
            return result
    raise ConfigError("baseline_name", name, "no result has this name", f"use one of {[r.name for r in results]}")
