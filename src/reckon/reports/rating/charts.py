"""Charts of the rating task, in the form of `reckon.reports.charts`.

Entry points: `error_bars`, `predicted_by_truth`, `distributions`, `calibration_chart`; each returns one `<svg>`
element.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reckon.data.scale import Scale
from reckon.evaluation.rating.groups import few_values
from reckon.evaluation.rating.measure import RatingRow
from reckon.metrics.rating import Calibration, RatingResult
from reckon.reports.charts import BEST, BEST_LINE, INK, MUTED, legend, panel, series_color
from reckon.reports.labels import metric_label

FloatArray = npt.NDArray[np.floating]
BINS = 20  # of a scale with more values, or with any value in between
POINTS = 1000  # of a scatter: each is an element of the page
NAME_WIDTH = 20  # letters of a name in one line
FAINT, STRONG = 0.06, 0.6  # opacity of cells: the number on top stays readable
BASELINES = "baselines"  # among the names of a page: their one colour
RIGHT = ("axes fraction", "data")
NONE = "none"  # where a reply gave no rating


def error_bars(rows: Sequence[RatingRow], metric: str, best: float | None, names: Sequence[str]) -> str:
    """One bar per method with its 95 % interval, baselines in grey; a dashed line where the best possible lies.

    Args:
        rows: top to bottom.
        metric: `mae` or `rmse`.
        best: the best possible, if known.
        names: the runs of the page and BASELINES, for their colours.
    """
    with panel(metric_label(metric), height=64 + 24 * len(rows)) as (figure, axes, drawn):
        for place, row in enumerate(rows):
            lo, hi = row.summary[f"{metric}_ci"]
            axes.barh(place, row.summary[metric], height=0.66, color=_color(row.result, names))
            axes.hlines(place, lo, hi, color=INK, linewidth=1.3)
            # In a column of their own: beside the bar the line of the best possible would run through them.
            at = (1.0, place)
            axes.annotate(
                f"{row.summary[metric]:.3f}", at, xycoords=RIGHT, ha="right", va="center", fontsize=9, color=INK
            )
        if best is not None:
            axes.axvline(best, color=BEST, **BEST_LINE, label="best possible")
            legend(figure, axes)
        axes.set_yticks(range(len(rows)), ["\n".join(textwrap.wrap(row.name, NAME_WIDTH)) for row in rows], fontsize=9)
        for label in axes.get_yticklabels():
            label.set_color(INK)
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.invert_yaxis()
        axes.set_xlim(0, max(row.summary[f"{metric}_ci"][1] for row in rows) * 1.22)
    return drawn[0]


def predicted_by_truth(result: RatingResult, title: str, names: Sequence[str]) -> str:
    """Where predictions lie for each true rating: a grid of shares, or points where the scale has many values."""
    if few_values(result.scale):
        return _grid(result, title, _color(result, names))
    return _points(result, title, _color(result, names))


def _grid(result: RatingResult, title: str, color: str) -> str:
    """One column per true rating; a cell is the share of its rows with that prediction, to the nearest value."""
    from matplotlib.patches import Rectangle

    values, counts = result.scale.values(), counts_by_truth(result)  # [T], [T, T + 1]
    missing = bool(counts[:, -1].any())
    with panel(title, height=250) as (_, axes, drawn):
        for column, row in np.ndindex(len(values), len(values) + missing):
            rows = counts[column].sum()
            share = counts[column, row] / rows if rows else 0.0
            place = row if row < len(values) else -1.25  # those without a rating lie apart, beneath the lowest
            alpha = FAINT + (STRONG - FAINT) * share
            axes.add_patch(Rectangle((column - 0.47, place - 0.47), 0.94, 0.94, color=color, alpha=alpha, linewidth=0))
            if row == column:
                axes.add_patch(Rectangle((column - 0.47, place - 0.47), 0.94, 0.94, fill=False, edgecolor=INK))
            if share >= 0.005:
                text = f"{share:.0%}" if len(values) <= 6 else f"{100 * share:.0f}"
                axes.annotate(text, (column, place), ha="center", va="center", fontsize=9.5, color=INK)
        labels = [f"{value:g}\n{_count(counts[number].sum())}" for number, value in enumerate(values)]
        axes.set_xticks(range(len(values)), labels, fontsize=9.5)
        places = [*range(len(values)), *([-1.25] if missing else [])]
        axes.set_yticks(places, [*(f"{value:g}" for value in values), *([NONE] if missing else [])], fontsize=9.5)
        axes.set_xlim(-0.55, len(values) - 0.45)
        axes.set_ylim(-1.8 if missing else -0.55, len(values) - 0.45)
        axes.set_xlabel("true rating, and how many rows")
        axes.set_ylabel("predicted rating")
        axes.grid(visible=False)
    return drawn[0]


def _count(rows: float) -> str:
    return f"{rows:.0f}" if rows < 10_000 else f"{rows / 1000:.0f}k"


def _points(result: RatingResult, title: str, color: str) -> str:
    """At most POINTS rows as points, moved a little so that equal ones do not hide each other, and the diagonal."""
    rng, scale = np.random.default_rng(0), result.scale
    rows = np.flatnonzero(~np.isnan(result.predictions))
    rows = rng.permutation(rows)[:POINTS]
    jitter = (scale.step or scale.range / 100) * rng.uniform(-0.3, 0.3, (2, len(rows)))
    with panel(title, height=250) as (_, axes, drawn):
        axes.plot(
            result.targets[rows] + jitter[0],
            result.predictions[rows] + jitter[1],
            linestyle="none",
            marker="o",
            markersize=3.5,
            markeredgewidth=0,
            color=color,
            alpha=0.3,
        )
        axes.plot([scale.lowest, scale.highest], [scale.lowest, scale.highest], color=MUTED, linewidth=1.2)
        axes.set_xlabel("true rating")
        axes.set_ylabel("predicted rating")
        axes.grid(axis="x", visible=True)
    return drawn[0]


def counts_by_truth(result: RatingResult) -> npt.NDArray[np.integer]:
    """[T, T + 1] rows by true and predicted rating, each to the nearest of T values; the last column had no rating."""
    values = result.scale.values()
    truth = _nearest(result.scale, result.targets)
    missing = np.isnan(result.predictions)
    predicted = np.where(
        missing, len(values), _nearest(result.scale, np.where(missing, result.scale.lowest, result.predictions))
    )
    counts = np.zeros((len(values), len(values) + 1), dtype=np.int64)
    np.add.at(counts, (truth, predicted), 1)
    return counts


def distributions(result: RatingResult, title: str, names: Sequence[str]) -> str:
    """Shares of the true and of the predicted ratings side by side; rows without a rating apart."""
    scale = result.scale
    known = result.predictions[~np.isnan(result.predictions)]
    if few_values(scale):
        labels = [f"{value:g}" for value in scale.values()]
        of_truth, of_predictions = (
            np.bincount(_nearest(scale, values), minlength=len(labels)) for values in (result.targets, known)
        )
    else:
        edges = np.linspace(scale.lowest, scale.highest, BINS + 1)
        labels = [f"{low:.3g}" if number % 4 == 0 else "" for number, low in enumerate(edges[:-1])]
        of_truth, of_predictions = (np.histogram(values, edges)[0] for values in (result.targets, known))
    missing = len(result) - len(known)
    places = np.arange(len(labels))
    with panel(title) as (figure, axes, drawn):
        axes.bar(places - 0.2, of_truth / len(result), 0.36, color=INK, alpha=0.3, label="true")
        axes.bar(places + 0.2, of_predictions / len(result), 0.36, color=_color(result, names), label="predicted")
        if missing:
            axes.bar(len(labels) + 0.2, missing / len(result), 0.36, color=_color(result, names), alpha=0.45)
            labels, places = [*labels, NONE], np.arange(len(labels) + 1)
        axes.set_xticks(places, labels)
        axes.set_xlabel("rating")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        legend(figure, axes)
    return drawn[0]


def calibration_chart(result: RatingResult, found: Calibration, title: str, names: Sequence[str]) -> str:
    """RMSE of each bin of spread; on the diagonal the spread says how large the error is."""
    spread = np.array([one.spread for one in found.bins])
    rmse = np.array([one.rmse for one in found.bins])
    end = max(spread.max(), rmse.max()) * 1.08 or 1.0
    with panel(title) as (figure, axes, drawn):
        axes.plot([0, end], [0, end], color=MUTED, linestyle=(0, (2, 2)), linewidth=1.3, label="calibrated")
        axes.plot(spread, rmse, color=_color(result, names), marker="o", markersize=5, label="bins of equal count")
        axes.set_xlabel("mean spread of the samples")
        axes.set_ylabel("RMSE")
        axes.grid(axis="x", visible=True)
        axes.set_xlim(0, end)
        axes.set_ylim(0, end)
        legend(figure, axes)
    return drawn[0]


def _color(result: RatingResult, names: Sequence[str]) -> str:
    return series_color(names, result.name if result.name in names else BASELINES)


def _nearest(scale: Scale, ratings: FloatArray) -> npt.NDArray[np.integer]:
    """Number of the nearest value of a scale with steps, the higher one of two."""
    assert scale.step is not None
    return np.floor((ratings - scale.lowest) / scale.step + 0.5).astype(np.int64)
