"""Comparison of finished runs of any method, behind `reckon compare RUN RUN …`.

Entry point: `compare_runs`. All runs rank (or rate) the same rows; the last run is compared with each of the others,
row by row. Baselines are added.
"""

from collections.abc import Sequence
from pathlib import Path

from reckon.data.splits import Split
from reckon.errors import ConfigError
from reckon.evaluation.ranking.evaluate import Evaluation, evaluate_ranking
from reckon.evaluation.rating.evaluate import RatingEvaluation, evaluate_ratings
from reckon.methods.finished import task_of
from reckon.metrics import CUTOFFS


def compare_runs(
    runs: Sequence[str | Path],
    *,
    split: Split = "test",
    ks: Sequence[int] = CUTOFFS,
    batch_size: int = 64,
    data: str | Path | None = None,
) -> Evaluation | RatingEvaluation:
    """Evaluate the last run beside the others, without the further row of its weights without reasoning.

    Args:
        runs: run directories on the same data, of the same task; the last is compared with each of the others.
        split: `test` or `valid`.
        ks: cut-offs K, for runs that rank.
        batch_size: prompts per batch.
        data: the dataset directory, if it has moved since training.

    Raises:
        ConfigError: fewer than two runs.
        CheckpointError: a run is not finished, is given twice, or has another task or other data than the last run.
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise ConfigError("RUN", [str(path) for path in paths], "a comparison needs two runs", "name another one")
    *beside, run = paths
    if task_of(run) == "rating":
        return evaluate_ratings(run, split=split, batch_size=batch_size, beside=beside, data=data)
    return evaluate_ranking(
        run, split=split, ks=ks, batch_size=batch_size, beside=beside, data=data, without_reasoning=False
    )
