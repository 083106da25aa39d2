"""The page about predicted ratings: how far off they are, for whom, what replies were like, what single rows got.

Entry points: `rating_page` makes the page's data of an evaluation, `rating_tables` what a terminal shows. What a page
is, and what it shows of a training, is in `reckon.reports.page`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from reckon.evaluation.rating.evaluate import RatingEvaluation
from reckon.evaluation.rating.groups import few_values
from reckon.evaluation.rating.measure import METRICS, RatingRow
from reckon.metrics.rating import calibration
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
from reckon.reports.rating import charts as rating_charts
from reckon.reports.rating.charts import BASELINES
from reckon.reports.rating.tables import counts_table, errors_table, pairs_table, problems_table

ERROR_WORDS = {
    "mae": "Mean distance from the true rating. Lower is better; baselines in grey.",
    "rmse": "Root of the mean squared distance: large errors weigh more.",
}
PLOTTED_RUNS = 2  # runs whose predictions are drawn beside those of the best baseline: the last ones


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingPage(EvaluationPage):
    """What the page about ratings shows."""

    evaluation: RatingEvaluation

    @property
    def names(self) -> list[str]:
        """The runs of the page, for their colours, the one the report is about first; the second colour is grey."""
        rows = self.evaluation.rows
        runs = [row.name for row in reversed(rows) if row.writes]
        first, *others = dict.fromkeys([*reversed(list(self.histories)), *runs, rows[-1].name])
        return [first, BASELINES, *others]

    @property
    def sections(self) -> Sequence[SectionMaker]:
        """The sections of a report on ratings."""
        return SECTIONS


def rating_page(evaluation: RatingEvaluation, title: str | None = None, subtitle: str | None = None) -> RatingPage:
    """The page's data; title and subtitle say data set and run, unless they are given."""
    fields = about_fields(evaluation, f"rated from {evaluation.main.result.scale}", title, subtitle)
    return RatingPage(evaluation=evaluation, **fields)


def rating_tables(evaluation: RatingEvaluation) -> list[Grid]:
    """Errors with intervals, what runs counted, paired differences of the last row."""
    tables = [errors_table(evaluation.rows, evaluation.best_possible, evaluation.notes), counts_table(evaluation.rows)]
    main = [pair for pair in evaluation.pairs if pair.name == evaluation.main.name]
    return [*(table for table in tables if table is not None), *([pairs_table(main)] if main else [])]


def headline_section(data: RatingPage) -> Section:
    """Five numbers for a reader who reads nothing else."""
    evaluation, main = data.evaluation, data.evaluation.main
    summary = main.summary
    interval = f"95 % interval {format_interval(*summary['mae_ci'])}; RMSE {summary['rmse']:.3f}"
    tiles = [Tile(f"MAE of {main.name}", f"{summary['mae']:.3f}", interval)]
    baseline = evaluation.best_baseline
    for pair in evaluation.pairs:
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


def results_section(data: RatingPage) -> Section:
    """The tables of the terminal, and bars."""
    lead = "Each row is a user and an item whose rating was held out; everything shown to a method is older."
    best = data.best_possible or {}
    bars = [
        Chart(
            metric_label(metric),
            Markup(rating_charts.error_bars(data.evaluation.rows, metric, best.get(metric), data.names)),
            ERROR_WORDS[metric],
        )
        for metric in METRICS
    ]
    return Section("results", "Results", lead, tables=rating_tables(data.evaluation), charts=bars)


def predictions_section(data: RatingPage) -> Section:
    """Where predictions lie: against the truth, all together, and by their stated uncertainty."""
    rows, main, baseline = data.evaluation.rows, data.evaluation.main, data.evaluation.best_baseline
    runs = [row for row in rows if row.writes and row is not main][1 - PLOTTED_RUNS :]
    found = [_by_truth(row, data.names) for row in (main, *runs, *([baseline] if baseline else []))]
    title = f"Ratings given and predicted: {main.name}"
    found.append(
        Chart(
            title,
            Markup(rating_charts.distributions(main.result, title, data.names)),
            "Share of rows. Whoever fears large errors keeps to the middle of what people give.",
        )
    )
    found += [chart for chart in (_calibration(row, data.names) for row in rows) if chart is not None]
    return Section("predictions", "Predictions", charts=found)


def _by_truth(row: RatingRow, names: Sequence[str]) -> Chart:
    title = f"Predicted against true: {row.name}"
    missing = 1 - row.summary["parse_rate"]
    caption = "Each column is one true rating, in percent of its rows; outlined where the prediction is right."
    if not few_values(row.result.scale):
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


def problems_section(data: RatingPage) -> Section | None:
    """What was wrong with replies that gave no rating."""
    table = problems_table(data.evaluation.rows)
    if table is None:
        return None
    lead = "A reply gives a rating only in the right form. Every other one is counted here, none is dropped."
    return Section("problems", "Problems", lead, tables=[table])


def examples_section(data: RatingPage) -> Section | None:
    """Single rows: history, item, the four steps of the reasoning, prediction and truth."""
    examples = data.evaluation.examples
    if not examples:
        return None
    lead = f"The first {len(examples)} users of the split, one row each, whatever came of it. Open one to read it."
    return Section("examples", "Example reasonings", lead, ratings=examples)


def worst_section(data: RatingPage) -> Section | None:
    """The rows furthest from the truth."""
    worst = data.evaluation.worst
    if not worst:
        return None
    lead = f"The {len(worst)} further rows whose prediction is furthest from the truth: picked, not typical."
    return Section("worst", "Worst cases", lead, ratings=worst)


SECTIONS = (
    headline_section,
    results_section,
    groups_section,
    predictions_section,
    problems_section,
    learning_section,
    replies_section,
    health_section,
    sampled_group_section,
    examples_section,
    worst_section,
    guards_section,
    facts_section,
)
