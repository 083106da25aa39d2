"""One self-contained page about a run: what was reached, how training went, what single users were shown.

Entry point: `write_report`. The page needs no network and no script. It is a list of sections; a section is a
function from `ReportData` to a `Section`, or to None where the run has nothing to show for it. To show more, write
one more such function and name it in SECTIONS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reckon.errors import ConfigError
from reckon.evaluation import charts
from reckon.evaluation.compare import (
    Grid,
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
from reckon.files import write_text
from reckon.metrics import CUTOFFS, RankingResult, coverage, metric_interval, paired_difference

TEMPLATE = "report.html.jinja"
HEADLINE = "hit@10"
EVAL_PREFIX = "eval_"
METRIC_BARS = (
    ("hit", "Hit@K", "Share of rows whose target is in the top K."),
    ("ndcg", "NDCG@K", "The same, a target further down being worth less: 1 / log2(1 + rank)."),
)
HEALTH = (
    ("advantage/zero_groups", "Groups that taught nothing", "Share of groups whose advantages are all zero."),
    ("entropy", "Entropy", "Mean over reply tokens, in nats. A fall to zero means the policy says one thing only."),
    ("clip_share", "Clip share", "Share of tokens whose probability ratio was clipped."),
    ("logprob_gap", "Log-prob gap", "Mean distance between the log-probabilities of trainer and rollout."),
    ("kl", "KL", "Distance of the policy from the reference policy, in nats per token."),
    ("loss", "Loss", ""),
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
class ReportData:
    """Everything the page can show. Only `title` and one result are needed."""

    title: str
    subtitle: str = ""
    results: Sequence[RankingResult]
    """In the order of the table. The last one is what the report is about: its numbers head the page."""
    best_possible: Mapping[str, float] | None = None
    """Metric names to values, where the best a recommender can do is known."""
    histories: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)
    """Per arm, the trainer's `log_history`. Keys that are missing leave their panel out."""
    examples: Sequence[ExampleUser] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """Config, versions, seed, dataset checksum, hardware. A value of several lines is shown as it stands."""
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


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline number."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart with its words."""

    title: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: what the template can draw, in the order it draws it."""

    anchor: str
    title: str
    lead: str = ""
    tiles: Sequence[Tile] = ()
    tables: Sequence[Grid] = ()
    charts: Sequence[Chart] = ()
    examples: Sequence[ExampleUser] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def write_report(path: str | Path, data: ReportData) -> Path:
    """Write the page, whole or not at all.

    Args:
        path: the HTML file.
        data: what to show; whatever is missing leaves its section out.
    """
    return write_text(path, render_report(data))


def render_report(data: ReportData) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # titles, reviews and replies are other people's text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [section for section in (make(data) for make in SECTIONS) if section is not None]
    return environment.get_template(TEMPLATE).render(data=data, sections=sections, series=range(charts.SERIES))


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
    tiles.append(Tile("test rows", f"{len(main):,}", f"ranked against {main.catalog_size:,} items"))
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


def learning_section(data: ReportData) -> Section | None:
    """Reward and validation curves."""
    panels = [
        _curve(
            data,
            "reward/mean",
            "Reward",
            "Mean over the step's trajectories; the band is one standard deviation on each side.",
            spread="reward/std",
        )
    ]
    keys = {key for history in data.histories.values() for entry in history for key in entry}
    for key in sorted(key for key in keys if key.startswith(EVAL_PREFIX) and "@" in key):
        metric = key.removeprefix(EVAL_PREFIX)
        best = (data.best_possible or {}).get(metric)
        caption = "On a fixed sample of validation rows."
        if best is not None:
            caption += " The best possible is that of the test rows."
        panels.append(_curve(data, key, f"Validation {metric_label(metric)}", caption, best=best, markers=True))
    found = [panel for panel in panels if panel is not None]
    return Section("learning", "Learning", charts=found) if found else None


def replies_section(data: ReportData) -> Section | None:
    """How long replies were and how many were cut off."""
    found = [
        panel
        for panel in (
            _curve(data, "reply/length", "Reply length", "Tokens per reply, mean over the step's trajectories."),
            _curve(
                data,
                "reply/truncated",
                "Truncated replies",
                "Share of replies that hit the length limit; each is counted and scored, none is dropped.",
            ),
        )
        if panel is not None
    ]
    return Section("replies", "Replies", charts=found) if found else None


def health_section(data: ReportData) -> Section | None:
    """What a person needs to trust the steps."""
    found = [panel for panel in (_curve(data, *panel) for panel in HEALTH) if panel is not None]
    times = charts.step_time(data.histories)
    if times is not None:
        found.append(Chart("Where a step's time goes", Markup(times), "Mean over all logged steps."))
    return Section("health", "Health of the training", charts=found) if found else None


def examples_section(data: ReportData) -> Section | None:
    """Single users: history, reasoning, recommendation, and what they really took."""
    if not data.examples:
        return None
    lead = f"What {data.results[-1].name} recommended to single test users, and what they really took next."
    return Section("examples", "Example users", lead, examples=data.examples)


def facts_section(data: ReportData) -> Section | None:
    """What it takes to repeat the run."""
    return Section("facts", "Run facts", facts=data.facts) if data.facts else None


SECTIONS = (
    headline_section,
    results_section,
    learning_section,
    replies_section,
    health_section,
    examples_section,
    facts_section,
)


def _curve(
    data: ReportData,
    key: str,
    title: str,
    caption: str,
    *,
    best: float | None = None,
    spread: str | None = None,
    markers: bool = False,
) -> Chart | None:
    svg = charts.curves(data.histories, key, title, data.names, best=best, spread=spread, markers=markers)
    return None if svg is None else Chart(title, Markup(svg), caption)
