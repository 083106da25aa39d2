"""Charts of a comparison, as SVG for its page: bars and differences with intervals, curves by group, cost.

Entry points: `interval_bars`, `forest`, `hit_curves`, `grouped_lines`, `cost_bars`. Methods stand beneath each other
with their names beside them, since a table may have twenty; lines are for the few that a reader can tell apart.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reckon.comparison.statistics import Difference, SeedMetric
from reckon.metrics import Interval
from reckon.reports.charts import BEST, BEST_LINE, INK, MUTED, SERIES, FloatArray, legend, panel, series_color

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_HEIGHT, MARGIN = 24, 74  # SVG units per method, and for the axis
LABEL_LETTERS = 22  # of a method's name beside its bar; the table has the whole
LINES_AT_MOST = SERIES  # more than that nobody can tell apart
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)))


def interval_bars(
    title: str,
    metrics: Mapping[str, SeedMetric],
    names: Sequence[str],
    best: float | None = None,
) -> str:
    """One bar per method with its 95 % interval over users, a dot for each seed, and the best possible as a line."""
    with panel(title, _height(len(metrics))) as (figure, axes, drawn):
        for row, (name, metric) in enumerate(metrics.items()):
            interval = metric.interval
            axes.barh(row, interval.mean, 0.62, color=series_color(names, name))
            axes.hlines(row, interval.lo, interval.hi, color=INK, linewidth=1.3)
            if len(metric.by_seed) > 1:
                axes.plot(metric.by_seed, [row] * len(metric.by_seed), "o", color=INK, markersize=2.6)
            right = max(interval.hi, *metric.by_seed)
            axes.annotate(f"{interval.mean:.3f}", (right, row), (4, 0), textcoords="offset points", **_BESIDE)
        if best is not None:
            axes.axvline(best, color=BEST, **BEST_LINE, label="best possible")
            legend(figure, axes)
        highest = max([metric.interval.hi for metric in metrics.values()] + ([best] if best else []))
        axes.set_xlim(0, max(highest * 1.16, 1e-6))
        _name_rows(axes, list(metrics))
    return drawn[0]


_BESIDE: dict[str, Any] = {"va": "center", "fontsize": 10, "color": INK}


def forest(title: str, differences: Sequence[Difference], names: Sequence[str]) -> str:
    """Differences from the baseline with their intervals; a hollow point is not significant after the correction."""
    with panel(title, _height(len(differences))) as (_, axes, drawn):
        axes.axvline(0, color=MUTED, linewidth=1)
        for row, one in enumerate(differences):
            color = series_color(names, one.name)
            axes.hlines(row, one.paired.lo, one.paired.hi, color=color, linewidth=2)
            axes.plot(one.paired.difference, row, "o", color=color if one.clear else "none", markeredgecolor=color)
        reach = max([abs(end) for one in differences for end in (one.paired.lo, one.paired.hi)] + [1e-3])
        axes.set_xlim(
            min(-0.1 * reach, *[one.paired.lo * 1.1 for one in differences]),
            max(0.1 * reach, *[one.paired.hi * 1.1 for one in differences]),
        )
        axes.locator_params(axis="x", nbins=5)  # more numbers run into each other
        _name_rows(axes, [one.name for one in differences])
    return drawn[0]


def hit_curves(title: str, shares: Mapping[str, FloatArray], names: Sequence[str]) -> str:
    """Hit@K for every K: where in the list each method finds the target."""
    with panel(title, 300) as (figure, axes, drawn):
        for name, share in shares.items():
            axes.plot(np.arange(1, len(share) + 1), share, label=name, **_line(names, name))
        deepest = max(len(share) for share in shares.values())
        axes.set_xscale("log")
        ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= deepest]
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_xlabel("K")
        axes.set_ylim(bottom=0)
        legend(figure, axes)
    return drawn[0]


def grouped_lines(
    title: str, groups: Sequence[str], means: Mapping[str, Sequence[Interval | None]], names: Sequence[str], axis: str
) -> str:
    """One metric in groups of rows, a line per method; the first one's 95 % interval as a band. Empty groups are
    gaps."""
    with panel(title, 300) as (figure, axes, drawn):
        places = np.arange(len(groups))
        for number, (name, values) in enumerate(means.items()):
            mean, lo, hi = (
                np.array([np.nan if value is None else getattr(value, part) for value in values])
                for part in ("mean", "lo", "hi")
            )
            axes.plot(places, mean, label=name, marker="o", markersize=4, **_line(names, name))
            if number == 0:
                axes.fill_between(places, lo, hi, color=series_color(names, name), alpha=0.14, linewidth=0)
        axes.set_xticks(places, groups)
        axes.tick_params(axis="x", labelsize=10)
        axes.set_xlabel(axis)
        axes.margins(x=0.06)
        axes.set_ylim(bottom=0)
        legend(figure, axes)
    return drawn[0]


def cost_bars(title: str, seconds: Mapping[str, float], names: Sequence[str]) -> str:
    """Seconds per method on a logarithmic axis, each with its number."""
    known = {name: max(value, 1e-6) for name, value in seconds.items()}
    with panel(title, _height(len(known))) as (_, axes, drawn):
        least = min(known.values()) / 2
        for row, (name, value) in enumerate(known.items()):
            axes.barh(row, value - least, 0.62, left=least, color=series_color(names, name))
            axes.annotate(_seconds(value), (value, row), (4, 0), textcoords="offset points", **_BESIDE)
        axes.set_xscale("log")
        most = max(known.values())
        axes.set_xlim(least, most * (most / least) ** 0.3)  # room for the numbers
        powers = 10.0 ** np.arange(np.ceil(np.log10(least)), np.floor(np.log10(most)) + 1)
        powers = powers[:: max(1, len(powers) // 4)]
        axes.set_xticks(powers, [f"{power:g}" for power in powers])
        axes.minorticks_off()
        axes.set_xlabel("seconds")
        _name_rows(axes, list(known))
    return drawn[0]


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"


def _line(names: Sequence[str], name: str) -> dict[str, Any]:
    """Colour and dashes: colours repeat after SERIES methods, and dashes tell those apart."""
    place = list(names).index(name) // SERIES
    return {"color": series_color(names, name), "linestyle": DASHES[place % len(DASHES)]}


def _height(rows: int) -> float:
    return MARGIN + ROW_HEIGHT * rows


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    short = [name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…" for name in names]
    axes.set_yticks(range(len(names)), short)
    axes.tick_params(axis="y", labelcolor=INK, labelsize=10)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
