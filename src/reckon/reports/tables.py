"""Tables that evaluations of either task have: what guards found, and results for terciles of the rows.

Entry points: `findings_table`, `groups_table`, `ABOVE_BEST`.
"""

from collections.abc import Mapping, Sequence

from reckon.evaluation.groups import LEAST_ROWS, GroupedMetric
from reckon.evaluation.guards.finding import Finding
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, metric_label

ABOVE_BEST = "The best possible is an expectation: on one sample of rows a method can come out better by chance."


def findings_table(findings: Mapping[str, Sequence[Finding]], *, whole: bool = True) -> Grid | None:
    """One line per check; with `whole` False, warnings alone. None where there is nothing to show."""
    rows = tuple(
        (what, one.check, one.level, one.text)
        for what, found in findings.items()
        for one in found
        if whole or one.level == "warning"
    )
    return Grid(("what", "check", "verdict", "finding"), rows) if rows else None


def findings_line(findings: Mapping[str, Sequence[Finding]]) -> str:
    """How many checks found nothing, in one sentence."""
    levels = [one.level for found in findings.values() for one in found]
    warnings = levels.count("warning")
    if not warnings:
        return f"Guards: {len(levels)} checks, no warning."
    return f"Guards: {warnings} of {len(levels)} checks warn."


def groups_table(grouped: GroupedMetric) -> Grid:
    """One line per group, one column per result: the metric with its 95 % interval beneath."""
    lines = []
    for place, label in enumerate(grouped.labels):
        found = [values[place] for values in grouped.means.values()]
        cells = ("" if one is None else f"{one.mean:.3f}\n{format_interval(one.lo, one.hi)}" for one in found)
        lines.append((label, *cells))
    caption = f"{metric_label(grouped.metric)} in terciles of the rows; 95 % bootstrap intervals over users."
    if any(one is None for values in grouped.means.values() for one in values):
        caption += f" A group of fewer than {LEAST_ROWS} rows has no number."
    return Grid((grouped.by, *grouped.means), tuple(lines), caption)
