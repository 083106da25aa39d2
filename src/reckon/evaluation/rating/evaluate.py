"""Evaluate a run that predicts ratings: every row of a split, beside the rating baselines and other runs.

Entry points: `evaluate_rating_run` for a run directory, `rating_result` for one predictor that is in memory,
`baseline_results` for the baselines. Test rows are read here and in `reckon.evaluation.ranking.evaluate`, nowhere else.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.data import Dataset
from reckon.data.ratings import RatingExamples, rating_examples, rating_scale
from reckon.data.splits import Split
from reckon.errors import CheckpointError, ConfigError, MissingExtraError
from reckon.evaluation.compare import Grid, Pair, write_metrics
from reckon.evaluation.rating.examples import ShownRating, mean_and_spread, shown_rating
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RatedExamples
from reckon.metrics.rating import RatingResult
from reckon.reports.page import write_report
from reckon.reports.rating.report import RatingReportData
from reckon.reports.rating.tables import (
    RatingRow,
    counts_table,
    measure,
    rating_pairs,
    rating_pairs_table,
    rating_table,
)
from reckon.runs.read import (
    check_trained_on,
    dataset_of,
    facts_of,
    histories_of,
    manifest_of,
    names_of,
    task_of,
)
from reckon.training.loop import quiet_transformers

TITLES = {"reczero": "RecZero", "recone": "RecOne"}
SHOWN_ROWS = 10  # example reasonings in the report
COLUMNS = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


@dataclass(frozen=True, slots=True)
class RatingEvaluation:
    """Predictors of ratings over the same rows, ready to be shown. The last row is what the evaluation is about."""

    rows: Sequence[RatingRow]
    pairs: Sequence[Pair]
    """Of each row of the run against every row before it."""
    best_possible: Mapping[str, float] | None = None
    """`mae` and `rmse`, where the best a predictor can do is known."""
    notes: Sequence[str] = ()
    """What was left out, and why."""

    @property
    def results(self) -> list[RatingResult]:
        """The predictions behind the rows."""
        return [row.result for row in self.rows]

    def tables(self) -> list[Grid]:
        """Errors with intervals, what runs counted, paired differences of the last row."""
        tables = [rating_table(self.rows, self.best_possible, self.notes), counts_table(self.rows)]
        main = [pair for pair in self.pairs if pair.name == self.rows[-1].name]
        return [*(table for table in tables if table is not None), *([rating_pairs_table(main)] if main else [])]


def evaluate_rating_run(
    run: str | Path,
    *,
    split: Split = "test",
    samples: int = 1,
    batch_size: int = 64,
    out: str | Path | None = None,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
    baselines: bool = True,
    best_possible: Mapping[str, float] | None = None,
    since: float | None = None,
) -> RatingEvaluation:
    """Evaluate a finished run that predicts ratings; writes `metrics.json` and `report.html`.

    The table holds the rating baselines, each run of `beside` and the run itself. A run's row is its most likely reply
    to each prompt; with `samples`, a second row is the mean of so many sampled replies, and comes last.

    Args:
        run: run directory of `reckon train reczero`, or of a RecOne run.
        split: `test` or `valid`.
        samples: k replies per row for the mean of k, of the run and of those beside it; 1 leaves that row out.
        batch_size: prompts at a time.
        out: where to write; default: RUN/evaluation, for validation rows RUN/evaluation-valid.
        beside: further finished runs on the same data.
        data: the dataset directory, where it has moved since training.
        baselines: fit and show `RATING_BASELINES`; one whose extra is not installed is left out, with a note.
        best_possible: `mae` and `rmse`, where they are known.
        since: the `time.perf_counter()` that the file's `seconds` count from; default: this call.

    Raises:
        CheckpointError: a run is not finished, was trained on other data, or ranks items.
        DataError: the split has no rated rows.
    """
    run, started = Path(run), time.perf_counter() if since is None else since
    if samples < 1:
        raise ConfigError("samples", samples, "a prediction needs at least one reply", "use 1 or more")
    if task_of(run) != "rating":
        raise CheckpointError(run, "ranks items and predicts no ratings", "use evaluate_run")
    named = names_of(run, [Path(path) for path in beside])
    model = _load(run)
    dataset = dataset_of(run, model.data_path, data)
    for path in named.values():
        check_trained_on(path, dataset)
    results, notes = baseline_results(dataset, split) if baselines else ([], [])
    rows = [measure(result) for result in results]
    for name, path in named.items():  # one model in memory beside the run's own, which comes last
        rated = _rate(name, model if path == run else _load(path), dataset, split, samples, batch_size)
        rows += rated.rows
    first = len(rows) - len(rated.rows)  # of the run's own rows
    pairs = [pair for number in range(first, len(rows)) for pair in rating_pairs(rows[: number + 1])]
    evaluation = RatingEvaluation(rows, pairs, best_possible, notes)
    folder = Path(out) if out is not None else run / ("evaluation" if split == "test" else f"evaluation-{split}")
    write_metrics(
        folder / "metrics.json", [row.to_dict() for row in rows], best_possible, time.perf_counter() - started, pairs
    )
    subtitle = f"{len(rated.examples):,} {split} rows, rated from {model.scale}"
    shown = shown_rows(model, rated.examples, rated.likely, rated.sampled)
    write_report(folder / "report.html", _page(run, named, dataset, subtitle, evaluation, shown))
    return evaluation


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


def _page(
    run: Path,
    named: Mapping[str, Path],
    dataset: Dataset,
    subtitle: str,
    evaluation: RatingEvaluation,
    shown: Sequence[ShownRating],
) -> RatingReportData:
    """What the report of a run shows: the evaluation, single rows, and how the training of every run went."""
    method = manifest_of(run)["method"]
    return RatingReportData(
        title=f"{TITLES.get(method, method)} on {dataset.info['source'].get('name', 'data')}",
        subtitle=subtitle,
        rows=evaluation.rows,
        pairs=evaluation.pairs,
        notes=evaluation.notes,
        best_possible=evaluation.best_possible,
        histories=histories_of(named),
        examples=shown,
        facts=facts_of(run),
    )


def _load(run: Path) -> RecZero:
    with quiet_transformers():
        return RecZero.from_pretrained(run)


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
    with Progress(*COLUMNS, transient=True) as bar:
        task = bar.add_task(f"rating: {name}", total=len(examples))
        rated = model.rate(
            examples, samples=samples, batch_size=batch_size, on_batch=lambda rows: bar.advance(task, rows)
        )
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


def shown_rows(
    model: RecZero, examples: RatingExamples, likely: RatedExamples, sampled: RatedExamples | None = None
) -> list[ShownRating]:
    """The first rows of the split with their most likely reply, whatever came of them: picked ones would flatter.

    Args:
        model, examples: what predicted, and the rows.
        likely: one reply per row.
        sampled: several; their mean and spread are then told beside the reply.
    """
    shown = []
    for row in range(min(SHOWN_ROWS, len(examples))):
        note = ""
        if sampled is not None and len(sampled.problems) > len(examples):
            k = len(sampled.problems) // len(examples)
            note = f"{k} sampled replies: {mean_and_spread(sampled.predictions[row], sampled.spread[row])}."
        truncated = bool(likely.truncated[row])
        shown.append(shown_rating(model, examples[row], likely.replies[row], truncated=truncated, note=note))
    return shown


def baseline_results(dataset: Dataset, split: Split) -> tuple[list[RatingResult], list[str]]:
    """Every rating baseline, fitted and applied to a split; and a note for each that could not be."""
    examples, scale = rating_examples(dataset, split), rating_scale(dataset)
    results, notes = [], []
    with Progress(*COLUMNS, transient=True) as bar:
        task = bar.add_task("baselines", total=len(RATING_BASELINES))
        for name, baseline in RATING_BASELINES.items():
            bar.update(task, description=f"baseline: {name}")
            try:
                predictions = baseline.fit(dataset).predict(examples)
                results.append(RatingResult(name, predictions, examples.ratings, scale, examples.user_ids))
            except MissingExtraError as missing:
                notes.append(f"{name} is left out: it needs pip install 'reckon[{missing.extra}]'.")
            bar.advance(task)
    return results, notes
