"""The page about rankings: what was reached, for whom, how training went, what single users were recommended.

Entry points: `ranking_page` makes the page's data of an evaluation, `ranking_tables` what a terminal shows. What a page
is, and what it shows of a training, is in `reckon.reports.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reckon.evaluation.ranking.evaluate import Evaluation
from reckon.metrics import coverage, metric_interval
from reckon.reports import charts
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, format_p, metric_label, signed
from reckon.reports.page import (
    Chart,
    EvaluationPage,
    Section,
    SectionMaker,
    Tile,
    about_fields,
    facts_section,
    groups_section,
    guards_section,
    health_section,
    learning_section,
    replies_section,
    sampled_group_section,
)
from reckon.reports.ranking.tables import comparison_table, has_coverage, pairs_table, rates_table

METRIC_BARS = (
    ("hit", "Hit@K", "Share of rows whose target is in the top K."),
    ("ndcg", "NDCG@K", "The same, a target further down being worth less: 1 / log2(1 + rank)."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingPage(EvaluationPage):
    """What the page about rankings shows."""

    evaluation: Evaluation

    @property
    def names(self) -> list[str]:
        """Every method and arm of the page, for colours that are the same in all charts; the main one comes first."""
        results = self.evaluation.results
        return list(dict.fromkeys([results[-1].name, *(result.name for result in results), *self.histories]))

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """The sections of a report on rankings."""
        return SECTIONS


def ranking_page(evaluation: Evaluation, title: str | None = None, subtitle: str | None = None) -> RankingPage:
    """The page's data; title and subtitle say data set and run, unless they are given."""
    size = evaluation.main.catalog_size
    fields = about_fields(evaluation, f"full ranking of {size:,} items", title, subtitle)
    return RankingPage(evaluation=evaluation, **fields)


def ranking_tables(evaluation: Evaluation) -> list[Grid]:
    """Metrics with intervals, what was counted, paired differences."""
    tables = [
        comparison_table(evaluation.results, evaluation.cutoffs, evaluation.best_possible),
        rates_table(evaluation.results, max(evaluation.cutoffs)),
    ]
    return [*tables, pairs_table(evaluation.pairs)] if evaluation.pairs else tables


def headline_section(data: RankingPage) -> Section:
    """Three or four numbers for a reader who reads nothing else."""
    evaluation, main = data.evaluation, data.evaluation.main
    metric = evaluation.headline
    hit, label = metric_interval(main, metric), metric_label(metric)
    interval = f"95 % interval {format_interval(hit.lo, hit.hi)}"
    tiles = [Tile(f"{label} of {main.name}", f"{hit.mean:.3f}", interval)]
    best = (data.best_possible or {}).get(metric)
    if best:
        note = f"best possible {label}: {best:.3f}"
        tiles.append(
            Tile(
                "of the best possible", f"{hit.mean / best:.0%}", note + (", an expectation" if hit.mean > best else "")
            )
        )
    for pair in evaluation.pairs:
        if (pair.name, pair.baseline, pair.metric) == (main.name, evaluation.compared_with, metric):
            found = pair.paired
            note = f"{label}, paired: {signed(found.lo)} to {signed(found.hi)}, p {format_p(found.p_value)}"
            tiles.append(Tile(f"against {pair.baseline}", signed(found.difference), note))
    if has_coverage(main, k := max(evaluation.cutoffs)):
        note = f"share of {main.catalog_size:,} items in somebody's top {k}"
        tiles.append(Tile("catalog shown", f"{coverage(main, k):.0%}", note))
    tiles.append(Tile("rows", f"{len(main):,}", f"ranked against {main.catalog_size:,} items"))
    return Section("headline", "", tiles=tiles)


def results_section(data: RankingPage) -> Section:
    """The tables of the terminal, and bars."""
    evaluation, best = data.evaluation, data.best_possible
    lead = "Every item of the catalog is ranked for every row. Intervals resample users."
    if evaluation.pairs:
        lead += " A paired difference compares two methods user by user; it is clear where its interval leaves out 0."
    bars = [
        Chart(title, Markup(charts.metric_bars(evaluation.results, name, evaluation.cutoffs, best, data.names)), why)
        for name, title, why in METRIC_BARS
    ]
    by_cutoff = Chart(
        "Hit@K for every K",
        Markup(charts.hit_by_cutoff(evaluation.results, data.names)),
        "Where in the list each method finds the target.",
    )
    return Section("results", "Results", lead, tables=ranking_tables(evaluation), charts=[*bars, by_cutoff])


def examples_section(data: RankingPage) -> Section | None:
    """Single users: history, reasoning, recommendation, and what they really took."""
    evaluation = data.evaluation
    if not evaluation.examples:
        return None
    lead = (
        f"What {evaluation.main.name} recommended to the first {len(evaluation.examples)} users of the rows, one row "
        "each, whatever came of it, and what they really took next."
    )
    return Section("examples", "Example users", lead, examples=evaluation.examples)


def worst_section(data: RankingPage) -> Section | None:
    """The users whose target was ranked lowest."""
    evaluation = data.evaluation
    if not evaluation.worst:
        return None
    lead = (
        f"The {len(evaluation.worst)} further rows whose true next item {evaluation.main.name} ranked lowest: picked, "
        "not typical."
    )
    return Section("worst", "Worst cases", lead, examples=evaluation.worst)


SECTIONS = (
    headline_section,
    results_section,
    groups_section,
    learning_section,
    replies_section,
    health_section,
    sampled_group_section,
    examples_section,
    worst_section,
    guards_section,
    facts_section,
)
