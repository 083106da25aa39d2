"""The page of a comparison: what was reached, what differs, for whom, at what cost, and what to doubt.

Entry points: `ComparisonPage`, and `page_of` which makes it. What a page is, is in `reckon.evaluation.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from markupsafe import Markup

from reckon.comparison import charts
from reckon.comparison.groups import by_history_length, by_target_popularity, disagreements, group_intervals
from reckon.comparison.harness import Comparison
from reckon.comparison.oracle import Oracle
from reckon.comparison.statistics import Standing
from reckon.comparison.tables import provenance
from reckon.config import to_dict
from reckon.evaluation.compare import Grid, format_interval, metric_label, signed
from reckon.evaluation.page import (
    Chart,
    PageData,
    Section,
    SectionMaker,
    Tile,
    facts_section,
    health_section,
    learning_section,
    replies_section,
)

DEEPEST = 100  # K of the curves


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage(PageData):
    """What the page of a comparison shows."""

    comparison: Comparison
    tables: dict[str, Grid]
    standings: Sequence[Standing]
    """Whole ones, best first."""

    @property
    def names(self) -> list[str]:
        """Every method, for the colours: in the order of the config."""
        return [standing.name for standing in self.comparison.standings]

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """The sections of a comparison."""
        return SECTIONS

    @property
    def learned(self) -> list[Standing]:
        """Without an oracle, which is no method."""
        return [standing for standing in self.standings if standing.method != Oracle.NAME]

    @property
    def lines(self) -> list[Standing]:
        """The methods that charts of lines show: the best, and the baseline in any case."""
        best = list(self.standings[: charts.LINES_AT_MOST])
        base = [one for one in self.standings if one.name == self.comparison.config.compared_with and one not in best]
        return [*best[: charts.LINES_AT_MOST - len(base)], *base]

    @property
    def left_out(self) -> str:
        """What to say of methods that have no line."""
        missing = len(self.standings) - len(self.lines)
        return f" {missing} more methods are in the tables." if missing else ""


def page_of(comparison: Comparison, tables: dict[str, Grid]) -> ComparisonPage:
    """The page's data, with the tables that are there already."""
    headline = f"ndcg@{comparison.config.headline}"
    order = sorted(comparison.whole, key=lambda standing: -float(standing.worth(headline).mean()))
    source = comparison.dataset.info["source"].get("name", "data")
    config = yaml.safe_dump(to_dict(comparison.config), sort_keys=False, allow_unicode=True, default_flow_style=None)
    return ComparisonPage(
        title=f"{len(comparison.standings)} methods on {source}",
        subtitle=provenance(comparison),
        best_possible=comparison.best_possible,
        histories={one.name: log for one in comparison.whole if (log := next(iter(one.cells.values())).log)},
        facts={
            "data": comparison.dataset.checksum,
            "rows": comparison.rows.checksum,
            "seconds": f"{comparison.seconds:.0f} of this run; finished cells are not trained again",
            "config": config.strip(),
        },
        comparison=comparison,
        tables=tables,
        standings=order,
    )


def headline_section(data: ComparisonPage) -> Section:
    """The best method, how far it leads, and what could have been seen at all."""
    comparison, config = data.comparison, data.comparison.config
    metric = f"ndcg@{config.headline}"
    label = config.metric_key(metric_label(metric))
    tiles = []
    if data.learned:
        best = data.learned[0]
        seen = best.metric(metric)
        note = f"{label}, 95 % interval {format_interval(seen.interval.lo, seen.interval.hi)}"
        tiles.append(Tile(f"best: {best.name}", f"{seen.interval.mean:.3f}", note))
        if reach := (comparison.best_possible or {}).get(metric):
            share = seen.interval.mean / reach
            tiles.append(Tile("of the best possible", f"{share:.0%}", f"best possible {label}: {reach:.3f}"))
        lead = [one for one in comparison.differences if one.name == best.name and one.metric == metric]
        for one in lead:
            note = f"{label}, {'significant' if one.clear else 'not significant'} after Holm's correction"
            tiles.append(Tile(f"against {one.baseline}", signed(one.paired.difference), note))
    detectable = [one.detectable for one in comparison.differences if one.metric == metric]
    if detectable:
        note = f"{label}; smaller true differences are likely missed"
        tiles.append(Tile("least detectable difference", f"{float(np.median(detectable)):.3f}", note))
    failed = sum(len(standing.failures) for standing in comparison.standings)
    cells = len(comparison.standings) * len(config.seeds)
    tiles.append(Tile("cells", f"{cells - failed} of {cells}", "methods × seeds that finished"))
    return Section("headline", "", tiles=tiles)


def results_section(data: ComparisonPage) -> Section:
    """The table, bars and curves."""
    config, names = data.comparison.config, data.names
    drawn = []
    for metric in (f"hit@{config.headline}", f"ndcg@{config.headline}") if data.standings else ():
        label = config.metric_key(metric_label(metric))
        found = {one.name: one.metric(metric) for one in data.standings}
        best = (data.best_possible or {}).get(metric)
        svg = charts.interval_bars(label, found, names, best)
        drawn.append(Chart(label, Markup(svg), "Mean over users and seeds; line: 95 % over users; dots: single seeds."))
    if data.lines:
        depth = min(DEEPEST, len(data.comparison.dataset.catalog))
        shares = {one.name: _hits_at_every_cutoff(one, depth) for one in data.lines}
        caption, title = "Where in the list each method finds the target." + data.left_out, config.metric_key("Hit@K")
        drawn.append(Chart(f"{title} for every K", Markup(charts.hit_curves(title, shares, names)), caption))
    lead = "Every method was given the same rows, candidates, masking and budget of tuning."
    return Section("results", "Results", lead, tables=[data.tables["metrics"]], charts=drawn)


def _hits_at_every_cutoff(standing: Standing, depth: int) -> np.ndarray:
    """[depth] Hit@1, Hit@2, …, mean over seeds."""
    counts = [np.bincount(result.ranks, minlength=depth + 1)[1 : depth + 1] for result in standing.results]
    return np.mean([count.cumsum() / len(standing.results[0]) for count in counts], axis=0)


def differences_section(data: ComparisonPage) -> Section | None:
    """Every method against the baseline."""
    comparison = data.comparison
    if not comparison.differences:
        return None
    place = {standing.name: number for number, standing in enumerate(data.standings)}
    drawn = []
    for metric in comparison.config.tests:
        label = comparison.config.metric_key(metric_label(metric))
        these = sorted((d for d in comparison.differences if d.metric == metric), key=lambda d: place[d.name])
        title = f"{label} against {comparison.config.compared_with}"
        svg = charts.forest(title, these, data.names)
        drawn.append(Chart(title, Markup(svg), "Paired, 95 % over users. Hollow: not significant, corrected."))
    lead = (
        f"User by user against {comparison.config.compared_with}. p-values are corrected for their number; "
        "a difference below the detectable one would be found by luck only."
    )
    return Section("differences", "Paired differences", lead, tables=[data.tables["differences"]], charts=drawn)


def groups_section(data: ComparisonPage) -> Section | None:
    """For whom each method works: by history length and by how popular the target is."""
    if not data.lines:
        return None
    comparison = data.comparison
    metric, examples = f"hit@{comparison.config.headline}", comparison.rows.examples
    label = comparison.config.metric_key(metric_label(metric))
    drawn = []
    for groups, title, axis, why in (
        (
            by_history_length(examples),
            f"{label} by history length",
            "events before the target",
            "Users who are hardly known, and those who are well known.",
        ),
        (
            by_target_popularity(examples, comparison.dataset),
            f"{label} by popularity of the target",
            "occurrences of the target in training",
            "0 is a cold start: an item that no training event holds.",
        ),
    ):
        means = {one.name: group_intervals(one, metric, groups) for one in data.lines}
        svg = charts.grouped_lines(title, groups.labels, means, data.names, axis)
        drawn.append(Chart(title, Markup(svg), f"{why} Band: 95 % of {data.lines[0].name}.{data.left_out}"))
    return Section("groups", "For whom", charts=drawn)


def lists_section(data: ComparisonPage) -> Section | None:
    """What was recommended, right or wrong."""
    if "lists" not in data.tables:
        return None
    lead = (
        "Coverage and Gini: how many items anybody is shown, and how unevenly. Popularity lift: 0 is as popular as "
        "what the same users took before."
    )
    return Section("lists", "What is recommended", lead, tables=[data.tables["lists"]])


def cost_section(data: ComparisonPage) -> Section | None:
    """What training and ranking cost."""
    if not data.standings:
        return None
    drawn = []
    for title, place, name in (
        ("Seconds of training", "seconds", "training"),
        ("Seconds per user, ranked", "rates", "seconds_per_user"),
    ):
        seconds = {one.name: value for one in data.standings if (value := one.mean_of(place, name)) is not None}
        drawn.append(
            Chart(title, Markup(charts.cost_bars(title, seconds, data.names)), "Mean over seeds, logarithmic.")
        )
    return Section("cost", "Cost", tables=[data.tables["cost"]], charts=drawn)


def reasoning_section(data: ComparisonPage) -> Section | None:
    """How much the reasoning matters."""
    if "reasoning" not in data.tables:
        return None
    lead = "The same rows ranked with the model's own reasoning, another user's, its own words shuffled, and none."
    return Section("reasoning", "Does the reasoning matter?", lead, tables=[data.tables["reasoning"]])


def disagreements_section(data: ComparisonPage) -> Section | None:
    """Single users on whom methods disagree."""
    comparison = data.comparison
    found = disagreements(data.learned, comparison.rows.examples, comparison.dataset)
    if not found:
        return None
    lead = (
        "Picked, not typical: rows on which the best methods rank the true next item most differently, each of them "
        "the winner in turns. First seed."
    )
    return Section("disagreements", "Where methods disagree", lead, disagreements=found)


def guards_section(data: ComparisonPage) -> Section:
    """What was checked."""
    lead = "Checked in every comparison: leaks, numbers that cannot be, runs that learned nothing, cells that failed."
    return Section("guards", "Guards", lead, tables=[data.tables["guards"]])


SECTIONS = (
    headline_section,
    results_section,
    differences_section,
    groups_section,
    lists_section,
    cost_section,
    reasoning_section,
    disagreements_section,
    learning_section,
    replies_section,
    health_section,
    guards_section,
    facts_section,
)
