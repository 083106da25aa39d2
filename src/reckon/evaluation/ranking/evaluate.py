"""Evaluate a run: rank the whole catalog for every row of a split, beside simpler arms.

Entry points: `evaluate_run` for a run directory, `ranking_result` for one recommender that is in memory.
Test rows are read here and nowhere else.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reckon.baselines import Popularity
from reckon.data import Catalog, Dataset, Examples
from reckon.data.splits import Split
from reckon.errors import CheckpointError, DataError
from reckon.evaluation.compare import (
    Grid,
    Pair,
    compare,
    comparison_table,
    pairs_table,
    rates_table,
    write_metrics,
)
from reckon.methods.ranking_model import RankingModel
from reckon.methods.registry import load_ranking_model
from reckon.metrics import CUTOFFS, RankingResult, summary
from reckon.models.recommender import RankedExamples
from reckon.reports.ranking.report import ExampleUser, ReportData, write_report
from reckon.runs.read import check_trained_on, dataset_of, facts_of, histories_of, name_of, names_of

SHOWN_USERS = 8  # example users in the report
RETRAIN = "compare runs of the same exclude_seen"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results over the same rows, ready to be shown."""

    results: Sequence[RankingResult]
    pairs: Sequence[Pair]
    cutoffs: Sequence[int]
    best_possible: Mapping[str, float] | None = None

    def tables(self) -> list[Grid]:
        """Metrics with intervals, rates, paired differences."""
        return [
            comparison_table(self.results, self.cutoffs, self.best_possible),
            rates_table(self.results),
            pairs_table(self.pairs),
        ]


def evaluate_run(
    run: str | Path,
    *,
    split: Split = "test",
    ks: Sequence[int] = (5, 10, 20),
    batch_size: int = 64,
    out: str | Path | None = None,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
) -> Evaluation:
    """Evaluate a finished run; writes `metrics.json` and `report.html`.

    The table holds popularity, each run of `beside` (the trained no-reasoning arm, say), for a run that reasons the
    same weights without their reasoning, and the run itself.

    Args:
        run: run directory of `reckon train`.
        split: `test` or `valid`.
        ks: cut-offs.
        batch_size: prompts at a time.
        out: where to write; default: RUN/evaluation, for validation rows RUN/evaluation-valid.
        beside: further finished runs on the same data.
        data: the dataset directory, where it has moved since training.

    Raises:
        CheckpointError: a run is not finished, or was trained on other data.
    """
    run, started = Path(run), time.perf_counter()
    named = names_of(run, [Path(path) for path in beside])
    model = load_ranking_model(run)
    dataset = dataset_of(run, model.data_path, data)
    for path in named.values():
        check_trained_on(path, dataset)
    examples, widest = rows_of(dataset, model, split), max(ks)
    exclude = model.exclude_seen
    popularity = Popularity.fit(dataset, exclude_seen=exclude).ranks(examples, widest)
    results = [result_of("popularity", popularity, examples, dataset.catalog)]
    for name, other in _others(run, model, named):
        if other.exclude_seen != exclude:
            raise CheckpointError(named[name], "may recommend what the run may not, or the other way round", RETRAIN)
        rows = rows_of(dataset, other, split)  # the same rows, each model with the window it was trained on
        results.append(ranking_result(name, other, rows, widest, batch_size=batch_size)[0])
    result, ranked = ranking_result(name_of(run), model, examples, widest, batch_size=batch_size)
    results.append(result)
    metrics = [f"{metric}@{k}" for k in ks for metric in ("hit", "ndcg")]
    pairs = [pair for other in results[:-1] for pair in compare([other, result], other.name, metrics[:4])]
    folder = Path(out) if out is not None else run / ("evaluation" if split == "test" else f"evaluation-{split}")
    write_metrics(
        folder / "metrics.json", [summary(result, ks) for result in results], None, time.perf_counter() - started, pairs
    )
    arms = [name for name, path in named.items() if path != run]
    write_report(
        folder / "report.html",
        ReportData(
            title=f"{model.NAME} on {dataset.info['source'].get('name', 'data')}",
            subtitle=f"{len(examples):,} {split} rows, full ranking of {len(dataset.catalog):,} items",
            results=results,
            histories=histories_of(named),
            baseline_name="no-reasoning" if "no-reasoning" in arms else results[-2].name,
            cutoffs=ks,
            examples=example_users(model, examples, ranked),
            facts=facts_of(run),
        ),
    )
    return Evaluation(results, pairs, ks)


def rows_of(dataset: Dataset, model: RankingModel, split: Split) -> Examples:
    """Rows of a split with the histories that a model reads. Raises DataError where there are none."""
    examples = dataset.examples(split, model.prompt.window)
    if len(examples) == 0:
        raise DataError(str(dataset.path), f"has no {split} rows", "prepare the data with such rows, or choose --split")
    return examples


def _others(run: Path, model: RankingModel, named: Mapping[str, Path]) -> Iterator[tuple[str, RankingModel]]:
    """The runs beside, loaded one at a time; then the run's own weights without its reasoning."""
    for name, path in named.items():
        if path != run:
            yield name, load_ranking_model(path)
    if (plain := model.without_reasoning()) is not None:
        yield f"{name_of(run)}, reasoning left out", plain


def ranking_result(
    name: str, model: RankingModel, examples: Examples, k: int = max(CUTOFFS), *, batch_size: int = 64
) -> tuple[RankingResult, RankedExamples]:
    """Rank every row with a progress bar and keep its k best items; what was counted on the way comes as rates."""
    started = time.perf_counter()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task(f"ranking: {name}", total=len(examples))
        ranked = model.ranks(examples, k, batch_size=batch_size, on_batch=lambda rows: bar.advance(task, rows))
    rates = {"seconds_per_user": (time.perf_counter() - started) / len(examples)}
    if model.reasons:
        rates |= {
            "truncated": float(ranked.truncated.mean()),
            "parsed": float(ranked.parsed.mean()),
            "reply_length": float(ranked.lengths.mean()),
        }
    return result_of(name, ranked, examples, model.catalog, rates | prompt_rates(ranked)), ranked


def prompt_rates(ranked: RankedExamples) -> dict[str, float]:
    """Events left out and titles cut, per prompt; each only where there were any."""
    counts = {"dropped_events": ranked.dropped_events, "cut_titles": ranked.cut_titles}
    return {name: float(values.mean()) for name, values in counts.items() if values.any()}


def result_of(
    name: str, ranked: RankedExamples, examples: Examples, catalog: Catalog, rates: Mapping[str, float] | None = None
) -> RankingResult:
    """Ranked rows as a result that metrics and comparisons read."""
    return RankingResult(name, ranked.ranks, len(catalog), ranked.items, examples.user_ids, rates or {})


def example_users(
    model: RankingModel, examples: Examples, ranked: RankedExamples, count: int = SHOWN_USERS
) -> list[ExampleUser]:
    """The first rows of the split, whatever came of them: picked examples would flatter the model."""
    titles = model.catalog.titles
    rows = range(min(count, len(examples)))
    answers = model.recommend_examples([examples[row] for row in rows], k=5)
    return [
        ExampleUser(
            user_id=str(examples.user_ids[row]),
            history=[titles[item] for item in examples.history(row)],
            reasoning=ranked.reasonings[row],
            items=[(titles[item], score) for item, score in zip(a.items, a.scores, strict=True)],
            target=titles[int(examples.targets[row])],
            finish="length" if ranked.truncated[row] else "marker",
        )
        for row, a in zip(rows, answers, strict=True)
    ]
