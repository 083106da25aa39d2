"""The page of a comparison: what was reached, what differs, at what cost, and what to doubt, whatever the task.

Entry points: `ComparisonPage`, its sections, and the charts that both tasks draw: `metric_bars`, `grouped_charts`. What
is of one task alone is in `ranking_sections` and `rating_sections` beside; what a page is, is in `reckon.reports.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import yaml
from markupsafe import Markup

from reckon.baselines.oracle import Oracle
from reckon.comparison.harness import Comparison
from reckon.comparison.statistics import Standing
from reckon.comparison.summary import provenance
from reckon.config import to_dict
from reckon.evaluation.groups import Groups
from reckon.metrics.measures import measure_of
from reckon.reports.comparison import charts
from reckon.reports.comparison.tables import TIMED
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, metric_label, signed
from reckon.reports.page import (
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage(PageData):
    """What the page of a comparison shows."""

    comparison: Comparison
    tables: dict[str, Grid]
    standings: Sequence[Standing]
    """Whole ones, best first."""
    sections_of_task: Sequence[SectionMaker]

    @property
    def names(self) -> list[str]:
        """Every method, for the colours: in the order of the config."""
        return [standing.name for standing in self.comparison.standings]

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """Those of the comparison's task."""
        return self.sections_of_task

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


def comparison_page(
    comparison: Comparison, tables: dict[str, Grid], sections: Sequence[SectionMaker]
) -> ComparisonPage:
    """The page's data, with the tables that are there already and the sections of the task."""
    metric = comparison.config.main_metric
    sign = 1 if measure_of(metric).lower_is_better else -1
    order = sorted(comparison.whole, key=lambda standing: sign * standing.metric(metric).interval.mean)
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
        sections_of_task=sections,
    )


def headline_section(data: ComparisonPage) -> Section:
    """The best method, how far it leads, and what could have been seen at all."""
    comparison, config = data.comparison, data.comparison.config
    metric, tiles = config.main_metric, list[Tile]()
    label = config.metric_key(metric_label(metric))
    if data.learned:
        best = data.learned[0]
        seen = best.metric(metric)
        note = f"{label}, 95 % interval {format_interval(seen.interval.lo, seen.interval.hi)}"
        tiles.append(Tile(f"best: {best.name}", f"{seen.interval.mean:.3f}", note))
        if reach := (comparison.best_possible or {}).get(metric):
            tiles.append(_against_best(seen.interval.mean, reach, label, measure_of(metric).lower_is_better))
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


def _against_best(reached: float, best: float, label: str, lower_is_better: bool) -> Tile:
    note = f"best possible {label}: {best:.3f}"
    if lower_is_better:
        return Tile("above the best possible", signed(reached - best), note)
    return Tile("of the best possible", f"{reached / best:.0%}", note)


def metric_bars(data: ComparisonPage, metrics: Sequence[str]) -> list[Chart]:
    """For each metric a bar for every method."""
    drawn = []
    for metric in metrics if data.standings else ():
        label = data.comparison.config.metric_key(metric_label(metric))
        found = {one.name: one.metric(metric) for one in data.standings}
        svg = charts.interval_bars(label, found, data.names, (data.best_possible or {}).get(metric))
        caption = "Mean over rows and seeds; line: 95 % over users; dots: single seeds."
        caption += " Lower is better." if measure_of(metric).lower_is_better else ""
        drawn.append(Chart(label, Markup(svg), caption))
    return drawn


def grouped_charts(data: ComparisonPage, metric: str, asked: Sequence[tuple[Groups, str, str, str]]) -> list[Chart]:
    """For each grouping of the rows a line for every method that `lines` names.

    Args:
        metric: what is measured in each group.
        asked: groups, what they are by, the words beneath the axis, and why to look.
    """
    label, drawn = data.comparison.config.metric_key(metric_label(metric)), []
    for groups, by, axis, why in asked:
        title = f"{label} by {by}"
        means = {one.name: one.in_groups(metric, groups) for one in data.lines}
        svg = charts.grouped_lines(title, groups.labels, means, data.names, axis)
        drawn.append(Chart(title, Markup(svg), f"{why} Band: 95 % of {data.lines[0].name}.{data.left_out}"))
    return drawn


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
        better = " Below 0 is better." if measure_of(metric).lower_is_better else ""
        caption = f"Paired, 95 % over users.{better} Hollow: not significant, corrected."
        drawn.append(Chart(title, Markup(svg), caption))
    lead = (
        f"User by user against {comparison.config.compared_with}. p-values are corrected for their number; "
        "a difference below the detectable one would be found by luck only."
    )
    return Section("differences", "Paired differences", lead, tables=[data.tables["differences"]], charts=drawn)


def cost_section(data: ComparisonPage) -> Section | None:
    """What training and recommending cost."""
    if not data.standings:
        return None
    drawn = []
    for title, place, name in (
        ("Seconds of training", "seconds", "training"),
        (f"Seconds per {TIMED[data.comparison.config.task]}", "rates", "seconds_per_user"),
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
    lead = "The same rows with the model's own reasoning, another user's, its own words shuffled, and none."
    return Section("reasoning", "Does the reasoning matter?", lead, tables=[data.tables["reasoning"]])


def guards_section(data: ComparisonPage) -> Section:
    """What was checked."""
    lead = "Checked in every comparison: leaks, numbers that cannot be, runs that learned nothing, cells that failed."
    return Section("guards", "Guards", lead, tables=[data.tables["guards"]])


CLOSING_SECTIONS: tuple[SectionMaker, ...] = (
    learning_section,
    replies_section,
    health_section,
    guards_section,
    facts_section,
)
"""What a page ends with, whatever the task: the training of methods that have some, the checks, the settings."""
