"""Evaluate a finished run of either task: results, and nothing written.

Entry point: `evaluate`. `reckon.reports.write.write_evaluation` puts what it returns into files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from reckon.data.splits import Split
from reckon.evaluation.ranking.evaluate import Evaluation, evaluate_ranking
from reckon.evaluation.rating.evaluate import RatingEvaluation, evaluate_ratings
from reckon.methods.finished import task_of
from reckon.metrics import CUTOFFS


def evaluate(
    run: str | Path,
    *,
    split: Split = "test",
    ks: Sequence[int] = CUTOFFS,
    samples: int = 1,
    batch_size: int = 64,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
    baselines: bool = True,
    best_possible: Mapping[str, float] | None = None,
) -> Evaluation | RatingEvaluation:
    """Ask a finished run about every row of a split, beside baselines and other runs.

    Rankings stand beside popularity, each run of `beside`, and, where the run reasons, the same weights without their
    reasoning. Ratings stand beside the rating baselines and each run of `beside`; with `samples`, a second row of each
    run is the mean of so many sampled replies.

    Args:
        run: run directory of `reckon train`.
        split: `test` or `valid`.
        ks: cut-offs, of a run that ranks.
        samples: k replies per row, of a run that predicts ratings; 1 is the most likely one.
        batch_size: prompts at a time.
        beside: further finished runs on the same data.
        data: the dataset directory, where it has moved since training.
        baselines: fit and show the baselines of ratings.
        best_possible: metrics to values, where the best that can be expected is known.

    Raises:
        CheckpointError: a run is not finished, has another task, or was trained on other data or another split.
        ConfigError: no cut-offs, or `samples` below 1.
        DataError: the split has no rows, or a guard refuses the numbers.
    """
    run = Path(run)
    if task_of(run) == "rating":
        return evaluate_ratings(
            run,
            split=split,
            samples=samples,
            batch_size=batch_size,
            beside=beside,
            data=data,
            baselines=baselines,
            best_possible=best_possible,
        )
    return evaluate_ranking(
        run, split=split, ks=ks, batch_size=batch_size, beside=beside, data=data, best_possible=best_possible
    )
