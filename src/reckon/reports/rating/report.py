"""The report on predicted ratings: how far off they are, what the replies were like, what single rows were told.

Entry point: `RatingReportData`, for `reckon.reports.page.write_report`. What it shows of the training is what
every task shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from reckon.errors import ConfigError
from reckon.evaluation.compare import Pair, format_interval, format_p, metric_label, signed
from reckon.evaluation.rating.examples import ShownRating
from reckon.metrics.rating import calibration
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
from reckon.reports.rating import charts as rating_charts
from reckon.reports.rating.charts import BASELINES
from reckon.reports.rating.tables import (
    METRICS,
    RatingRow,
    counts_table,
    problems_table,
    rating_pairs_table,
    rating_table,
)

ERROR_WORDS = {
    "mae": "Mean distance from the true rating. Lower is better; baselines in grey.",
    "rmse": "Root of the mean squared distance: large errors weigh more.",
}
PLOTTED_RUNS = 2  # runs whose predictions are drawn beside those of the best baseline: the last ones


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingReportData(PageData):
    """Everything the page about ratings can show. Only `title` and one row are needed."""

    rows: Sequence[RatingRow]
    """In the order of the table. The last one is what the report is about: its numbers head the page."""
    pairs: Sequence[Pair] = ()
    """Paired differences; those of the last row are shown."""
    notes: Sequence[str] = ()
    """What was left out of the table, and why."""
    examples: Sequence[ShownRating] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise ConfigError("rows", [], "a report needs at least one row", "evaluate something first")

    @property
    def main(self) -> RatingRow:
        """What the report is about."""
        return self.rows[-1]

    @property
    def best_baseline(self) -> RatingRow | None:
        """The row of least MAE among those that write no replies; None where there are none beside the main one."""
        baselines = [row for row in self.rows[:-1] if not row.writes]
        return min(baselines, key=lambda row: row.summary["mae"], default=None)

    @property
    def names(self) -> list[str]:
        """The runs of the page, for their colours, the one the report is about first; the second colour is grey."""
        runs = [row.name for row in reversed(self.rows) if row.writes]
        first, *others = dict.fromkeys([*reversed(list(self.histories)), *runs, self.main.name])
        return [first, BASELINES, *others]

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """The sections of a report on ratings."""
        return SECTIONS


def headline_section(data: RatingReportData) -> Section:
    """Five numbers for a reader who reads nothing else."""
    main, summary = data.main, data.main.summary
    interval = f"95 % interval {format_interval(*summary['mae_ci'])}; RMSE {summary['rmse']:.3f}"
    tiles = [Tile(f"MAE of {main.name}", f"{summary['mae']:.3f}", interval)]
    baseline = data.best_baseline
    for pair in data.pairs:
        if baseline is not None and (pair.name, pair.baseline, pair.metric) == (main.name, baseline.name, "mae"):
            found = pair.paired
            note = f"MAE, paired: {signed(found.lo)} to {signed(found.hi)}, p {format_p(found.p_value)}"
            tiles.append(Tile(f"against {baseline.name}, the best baseline", signed(found.difference), note))
    best = (data.best_possible or {}).get("mae")
    if best is not None:
        note = f"best possible MAE: {best:.3f}"
        tiles.append(Tile("above the best possible", signed(summary["mae"] - best), note))
    rate = f"{summary['parse_rate']:.1%}"
    tiles.append(Tile("parse rate", rate, "the other rows count with their worst possible error"))
    tiles.append(Tile("rows", f"{len(main.result):,}", f"rated from {main.result.scale}"))
    return Section("headline", "", tiles=tiles)


def results_section(data: RatingReportData) -> Section:
    """The table, what runs counted, paired differences and bars."""
    tables = [rating_table(data.rows, data.best_possible, data.notes), counts_table(data.rows)]
    lead = "Each row is a user and an item whose rating was held out; everything shown to a method is older."
    pairs = [pair for pair in data.pairs if pair.name == data.main.name]
    if pairs:
        tables.append(rating_pairs_table(pairs))
    best = data.best_possible or {}
    bars = [
        Chart(
            metric_label(metric),
            Markup(rating_charts.error_bars(data.rows, metric, best.get(metric), data.names)),
            ERROR_WORDS[metric],
        )
        for metric in METRICS
    ]
    return Section("results", "Results", lead, tables=[table for table in tables if table is not None], charts=bars)


def predictions_section(data: RatingReportData) -> Section:
    """Where predictions lie: against the truth, all together, and by their stated uncertainty."""
    runs = [row for row in data.rows if row.writes and row is not data.main][1 - PLOTTED_RUNS :]
    shown = [data.main, *runs, *([data.best_baseline] if data.best_baseline else [])]
    found = [_by_truth(row, data.names) for row in shown]
    title = f"Ratings given and predicted: {data.main.name}"
    found.append(
        Chart(
            title,
            Markup(rating_charts.distributions(data.main.result, title, data.names)),
            "Share of rows. Whoever fears large errors keeps to the middle of what people give.",
        )
    )
    found += [chart for chart in (_calibration(row, data.names) for row in data.rows) if chart is not None]
    return Section("predictions", "Predictions", charts=found)


def _by_truth(row: RatingRow, names: Sequence[str]) -> Chart:
    title = f"Predicted against true: {row.name}"
    missing = 1 - row.summary["parse_rate"]
    caption = "Each column is one true rating, in percent of its rows; outlined where the prediction is right."
    if not rating_charts.few_values(row.result.scale):
        caption = "Each point is a row, moved a little; right on the line."
        caption += f" {missing:.1%} of the rows have no rating and no point." if missing else ""
    return Chart(title, Markup(rating_charts.predicted_by_truth(row.result, title, names)), caption)


def _calibration(row: RatingRow, names: Sequence[str]) -> Chart | None:
    """Spread against error; None where no row has both a prediction and a spread."""
    if row.result.spread is None or np.isnan(row.result.spread + row.result.predictions).all():
        return None
    found, title = calibration(row.result), f"Calibration: {row.name}"
    words = [f"{found.inside:.0%} of errors are within two spreads."]
    if found.spearman is not None:
        words.append(f"Rank correlation of spread and error: {found.spearman:.2f}.")
    if found.left_out:
        words.append(f"{found.left_out:,} rows without a spread are left out.")
    return Chart(title, Markup(rating_charts.calibration_chart(row.result, found, title, names)), " ".join(words))


def problems_section(data: RatingReportData) -> Section | None:
    """What was wrong with replies that gave no rating."""
    table = problems_table(data.rows)
    if table is None:
        return None
    lead = "A reply gives a rating only in the right form. Every other one is counted here, none is dropped."
    return Section("problems", "Problems", lead, tables=[table])


def examples_section(data: RatingReportData) -> Section | None:
    """Single rows: history, item, the four steps of the reasoning, prediction and truth."""
    if not data.examples:
        return None
    lead = "The first rows of the split, whatever came of them. Open one to read its reasoning."
    return Section("examples", "Example reasonings", lead, ratings=data.examples)


SECTIONS = (
    headline_section,
    results_section,
    predictions_section,
    problems_section,
    learning_section,
    replies_section,
    health_section,
    examples_section,
    facts_section,
)
