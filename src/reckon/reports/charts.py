"""Charts as SVG text to put straight into a page.

Entry points: `metric_bars`, `hit_by_cutoff`, `curves`, `step_time`; each returns one `<svg>` element. `panel` and
`legend` are what further charts are made with (`reckon.reports.rating.charts`).

Every chart is PANEL_WIDTH units wide, about the width of a telephone, so that its text stays readable when the page
stacks panels in one column. Colours are CSS variables of the page (`--ink`, `--series-0`, …), so a chart follows the
page into dark mode. matplotlib is imported when the first chart is drawn, not with this module.
"""

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reckon.metrics import RankingResult, metric_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.floating]
PANEL_WIDTH, PANEL_HEIGHT = 380, 240  # SVG units
PAD = 3  # SVG units around what is drawn
POINTS_PER_INCH = 72
SERIES = 8  # colours of the page; more methods than that share them
# Colours as matplotlib writes them, and what the page calls them. The values are never seen.
INK, MUTED, GRID, BEST = "#010101", "#020202", "#030303", "#040404"
VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", BEST: "--best"}
VARIABLES |= {f"#0500{number:02x}": f"--series-{number}" for number in range(SERIES)}
LABELLED_METHODS = 4  # beyond this, numbers over the bars would run into each other
SMOOTH_FROM = 30  # points; shorter curves are shown as they are
BEST_LINE: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.8}
PHASES = ("rollout", "reward", "update")
SHADES = (0.85, 0.5, 0.22)  # of the ink, one per phase: hues are for methods
STYLE = {
    "font.size": 11.0, "text.color": INK, "axes.labelcolor": MUTED, "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED, "axes.edgecolor": GRID, "xtick.color": GRID, "ytick.color": GRID, "grid.color": GRID,
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.grid": True,
    "axes.grid.axis": "y", "axes.axisbelow": True, "figure.facecolor": "none", "axes.facecolor": "none",
    "legend.frameon": False, "lines.linewidth": 2.0, "lines.solid_capstyle": "round", "ytick.major.size": 0.0,
    "svg.fonttype": "none", "text.parse_math": False, "axes.formatter.useoffset": False,
}  # fmt: skip


def series_color(names: Sequence[str], name: str) -> str:
    """The colour of a method: its place among all names of the page, so it is the same in every chart."""
    return f"#0500{list(names).index(name) % SERIES:02x}"


def metric_bars(
    results: Sequence[RankingResult],
    family: str,
    cutoffs: Sequence[int],
    best_possible: Mapping[str, float] | None,
    names: Sequence[str],
) -> str:
    """One bar per method and cut-off with its 95 % interval; a dashed line where the best possible lies.

    Args:
        results: the methods, left to right.
        family: `hit` or `ndcg`.
        cutoffs: the K.
        best_possible: metric names to values; a cut-off without one gets no line.
        names: all names of the page, for the colours.
    """
    width = 0.8 / len(results)
    best_labelled = False
    with panel(f"{family} by method and cut-off") as (figure, axes, drawn):
        for number, result in enumerate(results):
            places = np.arange(len(cutoffs)) + (number - (len(results) - 1) / 2) * width
            intervals = [metric_interval(result, f"{family}@{k}") for k in cutoffs]
            heights = [interval.mean for interval in intervals]
            color = series_color(names, result.name)
            axes.bar(places, heights, width * 0.88, color=color, label=result.name)
            axes.vlines(places, [i.lo for i in intervals], [i.hi for i in intervals], color=INK, linewidth=1.3)
            if len(results) <= LABELLED_METHODS:
                for place, interval in zip(places, intervals, strict=True):
                    axes.annotate(
                        _short(interval.mean),
                        (place, interval.hi),
                        (0, 2),
                        textcoords="offset points",
                        ha="center",
                        fontsize=8.5,
                        color=INK,
                    )
        for group, k in enumerate(cutoffs):
            best = (best_possible or {}).get(f"{family}@{k}")
            if best is not None:
                axes.plot(
                    [group - 0.45, group + 0.45],
                    [best, best],
                    color=BEST,
                    **BEST_LINE,
                    label=None if best_labelled else "best possible",
                )
                best_labelled = True
        axes.set_xticks(range(len(cutoffs)), [f"@{k}" for k in cutoffs])
        axes.set_ylim(bottom=0)
        legend(figure, axes)
    return drawn[0]


def hit_by_cutoff(results: Sequence[RankingResult], names: Sequence[str], deepest: int = 100) -> str:
    """Hit@K for every K up to `deepest`: where in the list each method finds the target."""
    cutoffs = np.arange(1, min(deepest, min(result.catalog_size for result in results)) + 1)
    with panel("Hit@K at every K") as (figure, axes, drawn):
        for result in results:
            at_rank = np.bincount(result.ranks, minlength=len(cutoffs) + 1)[1 : len(cutoffs) + 1]
            share = at_rank.cumsum() / len(result)
            axes.plot(cutoffs, share, color=series_color(names, result.name), label=result.name)
        axes.set_xscale("log")
        ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= cutoffs[-1]]
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_xlabel("K")
        axes.set_ylim(bottom=0)
        legend(figure, axes)
    return drawn[0]


def curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    key: str,
    title: str,
    names: Sequence[str],
    *,
    best: float | None = None,
    spread: str | None = None,
    markers: bool = False,
) -> str | None:
    """One logged number over the training steps, one line per arm.

    Args:
        histories: per arm, the trainer's log entries.
        key: the number; entries without it are passed over, and an arm that never logged it has no line.
        title: heading of the panel.
        names: all names of the page, for the colours.
        best: draw the best possible as a dashed line.
        spread: key of a standard deviation, drawn as a band of one on each side.
        markers: mark every point (for numbers that are measured rarely).

    Returns:
        The chart, or None where no arm logged the number. From SMOOTH_FROM points on, the strong line is a moving
        mean and the raw values lie faintly behind it.
    """
    logged = {name: series(history, key) for name, history in histories.items()}
    logged = {name: (steps, values) for name, (steps, values) in logged.items() if len(steps)}
    if not logged:
        return None
    with panel(title) as (figure, axes, drawn):
        for name, (steps, values) in logged.items():
            color = series_color(names, name)
            smooth = moving_mean(values) if not markers and len(values) >= SMOOTH_FROM else values
            if smooth is not values:
                axes.plot(steps, values, color=color, alpha=0.28, linewidth=1)
            axes.plot(
                steps,
                smooth,
                color=color,
                label=name,
                marker="o" if markers or len(values) == 1 else None,
                markersize=4.5,
            )
            if spread:
                _band(axes, histories[name], spread, steps, smooth, color)
        if best is not None:
            axes.axhline(best, color=BEST, **BEST_LINE, label="best possible")
        axes.set_xlabel("step")
        axes.locator_params(axis="x", integer=True)
        axes.margins(x=0.02)
        legend(figure, axes)
    return drawn[0]


def _band(
    axes: "Axes", history: Sequence[Mapping[str, float]], key: str, steps: FloatArray, middle: FloatArray, color: str
) -> None:
    at, spread = series(history, key)
    if not np.array_equal(at, steps):
        return  # the deviation was not logged with every mean: no band is better than a wrong one
    spread = moving_mean(spread) if len(spread) >= SMOOTH_FROM else spread
    axes.fill_between(steps, middle - spread, middle + spread, color=color, alpha=0.12, linewidth=0)


def step_time(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str | None:
    """Mean seconds per step spent in rollout, reward and update: one bar per arm. None where nobody logged them."""
    means = {
        name: [
            float(np.nanmean(values)) if np.isfinite(values).any() else 0.0
            for values in (series(history, f"time/{phase}")[1] for phase in PHASES)
        ]
        for name, history in histories.items()
    }
    means = {name: times for name, times in means.items() if sum(times) > 0}
    if not means:
        return None
    with panel("Seconds per step", height=110 + 46 * len(means)) as (figure, axes, drawn):
        left = np.zeros(len(means))
        for number, phase in enumerate(PHASES):
            spans = np.array([times[number] for times in means.values()])
            axes.barh(list(means), spans, left=left, height=0.55, color=INK, alpha=SHADES[number], label=phase)
            left += spans
        for row, total in enumerate(left):
            axes.annotate(f"{total:.3g} s", (total, row), (5, 0), textcoords="offset points", va="center", color=INK)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.invert_yaxis()
        axes.set_xlim(0, left.max() * 1.18)
        legend(figure, axes)
    return drawn[0]


def series(history: Sequence[Mapping[str, float]], key: str) -> tuple[FloatArray, FloatArray]:
    """Steps and values of one logged number, in the order of steps; NaN and infinity become a gap in the line."""
    points = {float(entry["step"]): float(entry[key]) for entry in history if key in entry and "step" in entry}
    steps = np.array(sorted(points))
    values = np.array([points[step] for step in steps])
    return steps, np.where(np.isfinite(values), values, np.nan)


def moving_mean(values: FloatArray) -> FloatArray:
    """Mean over a centred window of a tenth of the points; at the ends the window is cut, and gaps stay gaps."""
    kernel = np.ones(2 * max(1, len(values) // 20) + 1)
    known = np.isfinite(values)
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    return np.where(known, total / np.maximum(np.convolve(known, kernel, "same"), 1), np.nan)


@contextmanager
def panel(title: str, height: float = PANEL_HEIGHT) -> Iterator[tuple["Figure", "Axes", list[str]]]:
    """A styled figure to draw on; the list holds its SVG once the block has ended. The page writes the title."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn: list[str] = []
    # Salted with the title: ids of two charts on one page differ, yet the same results give the same bytes.
    style: Any = STYLE | {"svg.hashsalt": title}
    with matplotlib.rc_context(style):
        size = PANEL_WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH
        figure = Figure(size, dpi=POINTS_PER_INCH)  # one pixel is one unit, when it is laid out and when it is drawn
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.1, 0.2, 0.88, 0.78))  # about where it comes to lie, so that its ticks are those
        yield figure, axes, drawn
        drawn.append(_drawn(figure, axes, title))


def _drawn(figure: "Figure", axes: "Axes", title: str) -> str:
    """The figure as an SVG element."""
    _lay_out(figure, axes)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _inline(buffer.getvalue(), title)


def _lay_out(figure: "Figure", axes: "Axes") -> None:
    """Give the axes what their labels and the legend leave. matplotlib's own layout solves this for grids of axes, and
    takes as long as the drawing."""
    width, height = figure.bbox.size
    inner, outer = axes.bbox, axes.get_tightbbox(for_layout_only=True)
    assert outer is not None
    beneath = sum(legend.get_window_extent().height + PAD for legend in figure.legends)
    left, right = inner.x0 - outer.x0 + PAD, width - (outer.x1 - inner.x1 + PAD)
    bottom, top = inner.y0 - outer.y0 + PAD + beneath, height - (outer.y1 - inner.y1 + PAD)
    axes.set_position((left / width, bottom / height, (right - left) / width, (top - bottom) / height))


def legend(figure: "Figure", axes: "Axes") -> None:
    """What the colours mean, beneath the plot."""
    handles, labels = axes.get_legend_handles_labels()
    # Methods in their own order, the best possible last: matplotlib lists lines before bars.
    order = sorted(range(len(labels)), key=lambda place: labels[place] == "best possible")
    handles, labels = [handles[place] for place in order], [labels[place] for place in order]
    one_row = sum(5 * len(label) + 32 for label in labels) < PANEL_WIDTH  # 5 units per letter, 32 for its key
    ncols = len(labels) if one_row else 2
    figure.legend(
        handles,
        labels,
        loc="lower left",
        ncols=ncols,
        fontsize=10,
        handlelength=1.4,
        columnspacing=1.2,
        labelcolor=INK,
        borderaxespad=0.2,
    )


def _inline(svg: str, title: str) -> str:
    """matplotlib's SVG file as an element of the page: responsive, in the page's font and colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style).*?</\1>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every chart; an id may occur once in a page
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = svg.replace("xlink:href=", "href=")
    svg = re.sub(r": (#0[1-5][0-9a-f]{4})\b", lambda match: f": var({VARIABLES[match[1]]})", svg)
    view = re.search(r'viewBox="[^"]*"', svg)
    assert view is not None
    head = f'<svg {view[0]} role="img" aria-label="{html.escape(title)}">'
    return re.sub(r"<svg[^>]*>", lambda _: head, svg, count=1)


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value >= 0.1 else f"{value:.3f}".removeprefix("0")
