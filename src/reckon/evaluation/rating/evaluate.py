"""Evaluate a run that predicts ratings: every row of a split, beside the rating baselines and other runs.

Entry points: `evaluate_ratings` for a run directory, `rating_result` for one predictor that is in memory,
`baseline_results` for the baselines. Test rows are read here and in `reckon.evaluation.ranking.evaluate`, nowhere else.
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
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RatedExamples
from reckon.methods.registry import load_rating_model
from reckon.metrics.rating import RatingResult
from reckon.progress import phase
from reckon.runs.read import log_of
from reckon.training.loop import quiet_transformers


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingEvaluation(AnyEvaluation):
    """Predictors of ratings over the same rows; paired differences are of each row of the run from every row before."""

    rows: Sequence[RatingRow]
    """In the order of the table."""
    notes: Sequence[str] = ()
    """What was left out, and why."""
    examples: Sequence[ShownRating] = ()
    """The first rows of the split, whatever came of them."""
    worst: Sequence[ShownRating] = ()
    """The rows that were rated furthest from the truth."""

    def __post_init__(self) -> None:
        if not self.rows:
            raise ConfigError("rows", [], "an evaluation needs at least one row", "evaluate something first")

    @property
    def main(self) -> RatingRow:
        """What the evaluation is about."""
        return self.rows[-1]

    @property
    def best_baseline(self) -> RatingRow | None:
        """The row of least MAE among those that write no replies; None where there are none beside the main one."""
        baselines = [row for row in self.rows[:-1] if not row.writes]
        return min(baselines, key=lambda row: row.summary["mae"], default=None)

    @property
    def results(self) -> list[RatingResult]:
        """The predictions behind the rows."""
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
    """As `reckon.evaluation.run.evaluate`. A baseline whose extra is not installed is left out, with a note."""
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
    for name, model in runs.models():  # one model in memory beside the run's own, which comes last
        rated = _rate(name, model, dataset, split, samples, batch_size)
        rows += rated.rows
        log = log_of(runs.named[name])
        findings[name] = guards.method_findings(model.rate, rated.examples, rated.likely, model=model, log=log)
    for row in rows:
        guards.refuse_impossible_errors(row.name, {name: row.summary[name] for name in METRICS}, row.result.scale)
    first = len(rows) - len(rated.rows)  # of the run's own rows
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
    """One model over the rows of a split."""

    examples: RatingExamples
    likely: RatedExamples
    """The most likely reply to each."""
    sampled: RatedExamples | None
    """Several replies to each; None where one is all that was asked for."""
    rows: Sequence[RatingRow]
    """Of the table: one, or two where replies were sampled."""


def _rate(name: str, model: RecZero, dataset: Dataset, split: Split, samples: int, batch_size: int) -> _Rated:
    """The most likely replies, and the sampled ones where they are wanted, to prompts as the model was trained on."""
    prompt = model.config.prompt
    examples = rating_examples(dataset, split, prompt.window, prompt.item_window)
    result, likely = rating_result(name, model, examples, batch_size=batch_size)
    rows = [measure(result, problems_of(likely))]
    if samples == 1:
        return _Rated(examples, likely, None, rows)
    result, sampled = rating_result(name, model, examples, samples=samples, batch_size=batch_size)
    return _Rated(examples, likely, sampled, [*rows, measure(result, problems_of(sampled))])


def _load(run: Path) -> RecZero:
    with quiet_transformers():
        return load_rating_model(run)


def rating_result(
    name: str, model: RecZero, examples: RatingExamples, *, samples: int = 1, batch_size: int = 64
) -> tuple[RatingResult, RatedExamples]:
    """Rate every row with a progress bar; what was counted on the way comes as rates.

    Args:
        name: of the run; the mean of several samples adds `, mean of k` to it.
        samples: k replies per row; 1 is the most likely one.
        model, examples, batch_size: as in `RecZero.rate`.
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
    """Replies by what was wrong with them."""
    return Counter(problem for problem in rated.problems if problem)


def baseline_results(dataset: Dataset, split: Split) -> tuple[list[RatingResult], list[str]]:
    """Every rating baseline, fitted and applied to a split; and a note for each that could not be."""
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
