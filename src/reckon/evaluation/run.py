"""Evaluate a finished run of either task; writes no files.

Entry point: `evaluate`. `reckon.reports.write.write_evaluation` writes its result to files.
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
    most_rows: int | None = None,
    samples: int = 1,
    batch_size: int = 64,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
    baselines: bool = True,
    best_possible: Mapping[str, float] | None = None,
) -> Evaluation | RatingEvaluation:
    """Evaluate a finished run on the rows of a split, beside baselines and other runs.

    The other rows of a ranking evaluation are popularity, each run of `beside` and, if the run reasons, its weights
    without reasoning. The other rows of a rating evaluation are the rating baselines and each run of `beside`. With
    `samples` > 1, each run that reasons has a second row for the mean of sampled replies: of their scores, or of their
    ratings.

    Args:
        run: run directory of `reckon train`.
        split: `test` or `valid`.
        ks: cut-offs K, for a run that ranks.
        most_rows: a fixed random sample of so many rows, for a run that ranks; None: all rows.
        samples: replies per row; 1 is the greedy reply.
        batch_size: prompts per batch.
        beside: further finished runs on the same data.
        data: the dataset directory, if it has moved since training.
        baselines: whether to fit and include the rating baselines.
        best_possible: best possible expected metrics by name, where known.

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
        run,
        split=split,
        ks=ks,
        most_rows=most_rows,
        samples=samples,
        batch_size=batch_size,
        beside=beside,
        data=data,
        best_possible=best_possible,
    )
