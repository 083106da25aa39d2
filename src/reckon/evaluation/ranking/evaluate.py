"""Evaluate a run that ranks: the whole catalog for every row of a split, beside popularity and other runs.

Entry points: `evaluate_ranking` for a run directory, `ranking_result` for a recommender in memory. Only this module and
`reckon.evaluation.rating.evaluate` read test rows.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reckon.baselines import Popularity
from reckon.data import Catalog, Dataset, Examples
from reckon.data.splits import Split
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.evaluation.groups import grouped
from reckon.evaluation.guards import ranking as guards
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.pairs import compare
from reckon.evaluation.ranking.examples import ExampleUser, first_users, worst_users
from reckon.evaluation.ranking.groups import history_lengths, target_counts
from reckon.evaluation.result import AnyEvaluation
from reckon.evaluation.runs import Runs
from reckon.methods.ranking_model import RankingModel
from reckon.methods.registry import load_ranking_model
from reckon.metrics import CUTOFFS, RankingResult
from reckon.models.recommender import RankedExamples
from reckon.progress import phase
from reckon.runs.read import log_of

HEADLINE = 10  # K of the headline metrics, if it is among the cut-offs
SAMPLE_SEED = 0  # of the rows of an evaluation that takes not all
NO_REASONING = "no-reasoning"  # the arm that the headline compares with, if present


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation(AnyEvaluation):
    """Results of an evaluation of rankings on the same rows."""

    results: Sequence[RankingResult]
    """In the order of the table."""
    cutoffs: Sequence[int] = CUTOFFS
    examples: Sequence[ExampleUser] = ()
    """The first rows of the split."""
    worst: Sequence[ExampleUser] = ()
    """The rows with the worst ranks of the target."""

    def __post_init__(self) -> None:
        if not self.results:
            raise ConfigError("results", [], "an evaluation needs at least one result", "evaluate something first")
        if not self.cutoffs:
            raise ConfigError("ks", [], "metrics need a cut-off", "give 5, 10 or 20, say")

    @property
    def main(self) -> RankingResult:
        """The evaluated run's result."""
        return self.results[-1]

    @property
    def headline(self) -> str:
        """The headline metric; paired differences always include it."""
        return f"hit@{headline_cutoff(self.cutoffs)}"

    @property
    def compared_with(self) -> str | None:
        """Name of the result that the headline compares with: the arm without reasoning, else the previous result; None
        for a single result."""
        names = [result.name for result in self.results[:-1]]
        return NO_REASONING if NO_REASONING in names else names[-1] if names else None


def headline_cutoff(cutoffs: Sequence[int]) -> int:
    """HEADLINE, or the largest cut-off if HEADLINE is not among them."""
    return HEADLINE if HEADLINE in cutoffs else max(cutoffs)


def paired_metrics(cutoffs: Sequence[int]) -> list[str]:
    """Hit and NDCG at the smallest cut-off and at the headline cut-off."""
    return [f"{name}@{k}" for k in sorted({min(cutoffs), headline_cutoff(cutoffs)}) for name in ("hit", "ndcg")]


def evaluate_ranking(
    run: Path,
    *,
    split: Split = "test",
    ks: Sequence[int] = CUTOFFS,
    most_rows: int | None = None,
    samples: int = 1,
    batch_size: int = 64,
    beside: Sequence[str | Path] = (),
    data: str | Path | None = None,
    best_possible: Mapping[str, float] | None = None,
    without_reasoning: bool = True,
) -> Evaluation:
    """As `reckon.evaluation.run.evaluate`; `without_reasoning` adds a row of the run's weights without reasoning."""
    if samples < 1:
        raise ConfigError("samples", samples, "nothing would be read", "use 1 for the greedy reply, or e.g. 8")
    started = time.perf_counter()
    if not ks:
        raise ConfigError("ks", [], "metrics need a cut-off", "give 5, 10 or 20, say")
    runs = Runs.open(run, beside, data, load_ranking_model)
    dataset, main, widest = runs.dataset, runs.model, max(ks)
    examples = rows_of(dataset, main, split, most_rows)
    popularity = Popularity.fit(dataset, exclude_seen=main.exclude_seen).ranks(examples, widest)
    results = [result_of("popularity", popularity, examples, dataset.catalog)]
    findings = {"data": guards.data_findings(dataset, examples, exclude_seen=main.exclude_seen)}
    for name, model in _models(runs, without_reasoning, samples):
        if model.exclude_seen != main.exclude_seen:
            problem = f"has another exclude_seen than {run}"
            raise CheckpointError(runs.named[name], problem, "compare runs of the same exclude_seen")
        rows = rows_of(dataset, model, split, most_rows)  # the same rows, with the window of each model's training
        result, ranked = ranking_result(name, model, rows, widest, batch_size=batch_size)
        guards.refuse_impossible(result, sorted(ks))
        results.append(result)
        if name in runs.named:
            findings[name] = _findings(model, rows, ranked, runs.named[name])
    pairs = [pair for other in results[:-1] for pair in compare([other, results[-1]], other.name, paired_metrics(ks))]
    asked = {
        "history length": history_lengths(examples),
        "popularity of the target": target_counts(examples, dataset),
    }
    options = [part for k in ks for part in ("--k", str(k))]
    options += [] if most_rows is None else ["--rows", str(most_rows)]
    options += [] if samples == 1 else ["--samples", str(samples)]
    return Evaluation(
        results=results,
        pairs=pairs,
        cutoffs=tuple(ks),
        best_possible=best_possible,
        findings=findings,
        groups=grouped(results, f"hit@{headline_cutoff(ks)}", asked),
        examples=first_users(main, examples, ranked),
        worst=worst_users(main, examples, ranked),
        about=runs.about(split, len(examples), options, time.perf_counter() - started),
    )


def rows_of(dataset: Dataset, model: RankingModel, split: Split, most: int | None = None) -> Examples:
    """Rows of a split, at most `most` of them, with histories as the model reads them.

    Fewer rows are the same sample for every model and run. Raises DataError where the split has no rows.
    """
    examples = dataset.examples(split, model.prompt.window)
    if len(examples) == 0:
        raise DataError(str(dataset.path), f"has no {split} rows", "prepare the data with such rows, or choose --split")
    return examples if most is None else examples.sample(most, SAMPLE_SEED)


def _models(runs: Runs[RankingModel], without_reasoning: bool, samples: int) -> Iterator[tuple[str, RankingModel]]:
    """The other runs' models, the run's weights without reasoning, then the run's model, each with its name; first of a
    model that reasons, the same with the mean of several sampled replies."""
    for name, model in runs.models():
        if samples > 1 and model.reasons:
            yield f"{name}, mean of {samples} replies", model.averaging(samples)
        if without_reasoning and model is runs.model and (plain := model.without_reasoning()) is not None:
            yield f"{name}, reasoning left out", plain
        yield name, model


def _findings(model: RankingModel, rows: Examples, ranked: RankedExamples, run: Path) -> list[Finding]:
    return guards.method_findings(
        model.ranks, rows, ranked, len(model.catalog), exclude_seen=model.exclude_seen, model=model, log=log_of(run)
    )


def ranking_result(
    name: str, model: RankingModel, examples: Examples, k: int = max(CUTOFFS), *, batch_size: int = 64
) -> tuple[RankingResult, RankedExamples]:
    """Rank every row with a progress bar. Returns the result, with rates, and the ranked rows with their k best
    items."""
    started = time.perf_counter()
    with phase(f"ranking: {name}", total=len(examples)) as ranking:
        ranked = model.ranks(examples, k, batch_size=batch_size, on_batch=ranking.advance)
    rates = {"seconds_per_user": (time.perf_counter() - started) / len(examples)}
    if model.reasons:
        rates |= {
            "truncated": float(ranked.truncated.mean()),
            "parsed": float(ranked.parsed.mean()),
            "reply_length": float(ranked.lengths.mean()),
        }
    return result_of(name, ranked, examples, model.catalog, rates | prompt_rates(ranked)), ranked


def prompt_rates(ranked: RankedExamples) -> dict[str, float]:
    """Mean number of dropped events and of shortened titles per prompt, each only if above 0."""
    counts = {"dropped_events": ranked.dropped_events, "cut_titles": ranked.cut_titles}
    return {name: float(values.mean()) for name, values in counts.items() if values.any()}


def result_of(
    name: str, ranked: RankedExamples, examples: Examples, catalog: Catalog, rates: Mapping[str, float] | None = None
) -> RankingResult:
    """Ranked rows as a RankingResult."""
    return RankingResult(name, ranked.ranks, len(catalog), ranked.items, examples.user_ids, rates or {})
