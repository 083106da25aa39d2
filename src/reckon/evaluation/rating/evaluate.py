"""Evaluate a run that predicts ratings: every row of a split, beside the rating baselines and other runs.

Entry points: `evaluate_ratings` for a run directory, `rating_result` for a predictor in memory, `baseline_results` for
the baselines. Only this module and `reckon.evaluation.ranking.evaluate` read test rows.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples, rating_examples, rating_scale
from reckon.data.splits import Split
from reckon.errors import CheckpointError, ConfigError, MissingExtraError
from reckon.evaluation.groups import grouped
from reckon.evaluation.guards import rating as guards
from reckon.evaluation.rating.examples import ShownRating, first_rows, worst_rows
from reckon.evaluation.rating.groups import item_ratings, known_ratings
from reckon.evaluation.rating.measure import METRICS, RatingRow, compare_last, measure
from reckon.evaluation.result import AnyEvaluation
from reckon.evaluation.runs import Runs
from reckon.methods.finished import task_of
from reckon.methods.reczero.model import RatedExamples, RecZeroModel
from reckon.methods.registry import load_rating_model
from reckon.metrics.rating import RatingResult
from reckon.progress import phase, quiet_transformers
from reckon.runs.read import log_of


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingEvaluation(AnyEvaluation):
    """Results of an evaluation of ratings on the same rows. Paired differences are between the table rows of the run
    and every row before them."""

    rows: Sequence[RatingRow]
    """In the order of the table."""
    notes: Sequence[str] = ()
    """Notes on rows that were left out."""
    examples: Sequence[ShownRating] = ()
    """The first rows of the split."""
    worst: Sequence[ShownRating] = ()
    """The rows with the largest errors."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ConfigError("rows", [], "an evaluation needs at least one row", "evaluate something first")

    @property
    def main(self) -> RatingRow:
        """What the evaluation is about."""
        return self.rows[-1]

    @property
    def best_baseline(self) -> RatingRow | None:
        """The row with the lowest MAE among predictors without replies; None if there is none."""
        baselines = [row for row in self.rows[:-1] if not row.writes]
        return min(baselines, key=lambda row: row.summary["mae"], default=None)

    @property
    def results(self) -> list[RatingResult]:
        """Results of the rows."""
        return [row.result for row in self.rows]


def evaluate_ratings(
    run: Path,
    *,
    split: Split = "test",
    samples: int = 1,
    batch_size: int = 64,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
    baselines: bool = True,
    best_possible: Mapping[str, float] | None = None,
) -> RatingEvaluation:
    """As `reckon.evaluation.run.evaluate`. A baseline with a missing extra is left out, with a note."""
    started = time.perf_counter()
    if samples < 1:
        raise ConfigError("samples", samples, "a prediction needs at least one reply", "use 1 or more")
    if task_of(run) != "rating":
        raise CheckpointError(run, "ranks items and predicts no ratings", "use evaluate_ranking")
    runs = Runs.open(run, beside, data, _load)
    dataset = runs.dataset
    results, notes = baseline_results(dataset, split) if baselines else ([], [])
    rows = [measure(result) for result in results]
    findings = {"data": guards.data_findings(dataset, rating_examples(dataset, split))}
    for name, model in runs.models():  # besides the run's own model, which comes last, one model at a time is in memory
        rated = _rate(name, model, dataset, split, samples, batch_size)
        rows += rated.rows
        log = log_of(runs.named[name])
        findings[name] = guards.method_findings(model.rate, rated.examples, rated.likely, model=model, log=log)
    for row in rows:
        guards.refuse_impossible_errors(row.name, {name: row.summary[name] for name in METRICS}, row.result.scale)
    first = len(rows) - len(rated.rows)  # index of the run's first row
    examples = rated.examples
    asked = {"ratings of the user": known_ratings(examples), "ratings of the item": item_ratings(examples)}
    options = ["--samples", str(samples)] if samples > 1 else []
    return RatingEvaluation(
        rows=rows,
        pairs=[pair for number in range(first, len(rows)) for pair in compare_last(rows[: number + 1])],
        best_possible=best_possible,
        notes=notes,
        findings=findings,
        groups=grouped([row.result for row in rows], "mae", asked),
        examples=first_rows(runs.model, examples, rated.likely, rated.sampled),
        worst=worst_rows(runs.model, examples, rated.likely, rated.sampled),
        about=runs.about(split, len(examples), options, time.perf_counter() - started),
    )


@dataclass(frozen=True, slots=True)
class _Rated:
    """Predictions of one model for the rows of a split."""

    examples: RatingExamples
    likely: RatedExamples
    """Greedy replies."""
    sampled: RatedExamples | None
    """Sampled replies; None for `samples` = 1."""
    rows: Sequence[RatingRow]
    """Rows of the table: one, or two if replies were sampled."""


def _rate(name: str, model: RecZeroModel, dataset: Dataset, split: Split, samples: int, batch_size: int) -> _Rated:
    """Rate a split by greedy and, if `samples` > 1, by sampled replies, with the windows of the model's training."""
    model.require_items_of(dataset)
    prompt = model.config.prompt
    examples = rating_examples(dataset, split, prompt.window, prompt.item_window)
    result, likely = rating_result(name, model, examples, batch_size=batch_size)
    rows = [measure(result, problems_of(likely))]
    if samples == 1:
        return _Rated(examples, likely, None, rows)
    result, sampled = rating_result(name, model, examples, samples=samples, batch_size=batch_size)
    return _Rated(examples, likely, sampled, [*rows, measure(result, problems_of(sampled))])


def _load(run: Path) -> RecZeroModel:
    with quiet_transformers():
        return load_rating_model(run)


def rating_result(
    name: str, model: RecZeroModel, examples: RatingExamples, *, samples: int = 1, batch_size: int = 64
) -> tuple[RatingResult, RatedExamples]:
    """Rate every row with a progress bar. Returns the result, with rates, and the rated rows.

    Args:
        name: name of the run; `, mean of k` is added for k > 1 samples.
        samples: k replies per row; 1 is the greedy reply.
        model, examples, batch_size: as in `RecZeroModel.rate`.
    """
    name, started = name if samples == 1 else f"{name}, mean of {samples}", time.perf_counter()
    with phase(f"rating: {name}", total=len(examples)) as rating:
        rated = model.rate(examples, samples=samples, batch_size=batch_size, on_batch=rating.advance)
    rates = {
        "parsed": rated.reply_parse_rate,
        "truncated": float(rated.truncated.mean()),
        "reply_length": float(rated.lengths.mean()),
        "seconds_per_user": (time.perf_counter() - started) / len(examples),
        **rated.prompt_rates,
    }
    spread = rated.spread if samples > 1 else None
    result = RatingResult(name, rated.predictions, examples.ratings, model.scale, examples.user_ids, spread, rates)
    return result, rated


def problems_of(rated: RatedExamples) -> Counter[str]:
    """Number of replies by problem."""
    return Counter(problem for problem in rated.problems if problem)


def baseline_results(dataset: Dataset, split: Split) -> tuple[list[RatingResult], list[str]]:
    """Results of all rating baselines on a split, and a note on each baseline with a missing extra."""
    examples, scale = rating_examples(dataset, split), rating_scale(dataset)
    results, notes = [], []
    with phase("baselines", total=len(RATING_BASELINES)) as fitting:
        for name, baseline in RATING_BASELINES.items():
            try:
                predictions = baseline.fit(dataset).predict(examples)
                results.append(RatingResult(name, predictions, examples.ratings, scale, examples.user_ids))
            except MissingExtraError as missing:
                notes.append(f"{name} is left out: it needs pip install 'reckon-recsys[{missing.extra}]'.")
            fitting.advance(1)
    return results, notes
