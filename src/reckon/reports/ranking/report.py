"""The report on rankings: what was reached, how training went, what single users were recommended.

Entry points: `ReportData`, and `write_report` for it (as for the data of any other task). What a page is, and what it
shows of a training, is in `reckon.reports.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reckon.errors import ConfigError
from reckon.evaluation.compare import (
    compare,
    comparison_table,
    find_result,
    format_interval,
    format_p,
    has_coverage,
    metric_label,
    pairs_table,
    rates_table,
    signed,
)
from reckon.metrics import CUTOFFS, RankingResult, coverage, metric_interval, paired_difference
from reckon.reports import charts
from reckon.reports.page import (
    Chart,
    PageData,
    Section,
    SectionMaker,
    Tile,
    facts_section,
    health_section,
    learning_section,
    render_report,
    replies_section,
    write_report,
)

__all__ = ["ExampleUser", "ReportData", "render_report", "write_report"]

HEADLINE = "hit@10"
METRIC_BARS = (
    ("hit", "Hit@K", "Share of rows whose target is in the top K."),
    ("ndcg", "NDCG@K", "The same, a target further down being worth less: 1 / log2(1 + rank)."),
)


@dataclass(frozen=True, slots=True)
class ExampleUser:
    """What one test user was shown. All text may be hostile: the page escapes it."""

    user_id: str
    history: Sequence[str]
    """Titles, oldest first."""
    reasoning: str
    """What the policy wrote; empty for a method that does not reason."""
    items: Sequence[tuple[str, float]]
    """Title and score, best first."""
    target: str
    """Title of the item the user really took next."""
    finish: str = "stop"
    """Why the reply ended: `stop` or `marker` for a complete one, `length` for a truncated one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData(PageData):
    """Everything the page about rankings can show. Only `title` and one result are needed."""

    results: Sequence[RankingResult]
    """In the order of the table. The last one is what the report is about: its numbers head the page."""
    examples: Sequence[ExampleUser] = ()
    baseline_name: str | None = None
    """The result that paired differences are taken from; None leaves them out."""
    cutoffs: Sequence[int] = CUTOFFS

    def __post_init__(self) -> None:
        if not self.results:
            raise ConfigError("results", [], "a report needs at least one result", "evaluate something first")
        if self.baseline_name is not None:
            find_result(self.results, self.baseline_name)

    @property
    def names(self) -> list[str]:
        """Every method and arm of the page, for colours that are the same in all charts; the main one comes first."""
        main = self.results[-1].name
        return list(dict.fromkeys([main, *(result.name for result in self.results), *self.histories]))

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """The sections of a report on rankings."""
        return SECTIONS


def headline_section(data: ReportData) -> Section:
    """Three or four numbers for a reader who reads nothing else."""
    main = data.results[-1]
    metric = HEADLINE if 10 in data.cutoffs else f"hit@{max(data.cutoffs)}"
    hit, label = metric_interval(main, metric), metric_label(metric)
    interval = f"95 % interval {format_interval(hit.lo, hit.hi)}"
    tiles = [Tile(f"{label} of {main.name}", f"{hit.mean:.3f}", interval)]
    best = (data.best_possible or {}).get(metric)
    if best:
        tiles.append(Tile("of the best possible", f"{hit.mean / best:.0%}", f"best possible {label}: {best:.3f}"))
    if data.baseline_name not in (None, main.name):
        baseline = find_result(data.results, str(data.baseline_name))
        pair = paired_difference(main, baseline, metric)
        note = f"{label}, paired: {signed(pair.lo)} to {signed(pair.hi)}, p {format_p(pair.p_value)}"
        tiles.append(Tile(f"against {baseline.name}", signed(pair.difference), note))
    if has_coverage(main, k := max(data.cutoffs)):
        note = f"share of {main.catalog_size:,} items in somebody's top {k}"
        tiles.append(Tile("catalog shown", f"{coverage(main, k):.0%}", note))
    tiles.append(Tile("rows", f"{len(main):,}", f"ranked against {main.catalog_size:,} items"))
    return Section("headline", "", tiles=tiles)


def results_section(data: ReportData) -> Section:
    """The whole table, paired differences and bars."""
    tables = [
        comparison_table(data.results, data.cutoffs, data.best_possible),
        rates_table(data.results, max(data.cutoffs)),
    ]
    lead = "Every item of the catalog is ranked for every test row. Intervals resample users."
    if data.baseline_name is not None and len(data.results) > 1:
        middle = sorted(data.cutoffs)[len(data.cutoffs) // 2]
        metrics = (f"hit@{min(data.cutoffs)}", f"ndcg@{middle}")
        tables.append(pairs_table(compare(data.results, data.baseline_name, metrics)))
        lead += " A paired difference compares two methods user by user; it is clear where its interval leaves out 0."
    bars = [
        Chart(title, Markup(charts.metric_bars(data.results, name, data.cutoffs, data.best_possible, data.names)), why)
        for name, title, why in METRIC_BARS
    ]
    by_cutoff = Chart(
        "Hit@K for every K",
        Markup(charts.hit_by_cutoff(data.results, data.names)),
        "Where in the list each method finds the target.",
    )
    return Section("results", "Results", lead, tables=tables, charts=[*bars, by_cutoff])


def examples_section(data: ReportData) -> Section | None:
    """Single users: history, reasoning, recommendation, and what they really took."""
    if not data.examples:
        return None
    lead = f"What {data.results[-1].name} recommended to single test users, and what they really took next."
    return Section("examples", "Example users", lead, examples=data.examples)


SECTIONS = (
    headline_section,
    results_section,
    learning_section,
    replies_section,
    health_section,
    examples_section,
    facts_section,
)
