"""The tables of a comparison: each says what it was measured with.

Entry points: `tables_of` for all of them by name, `write_tables` for the files.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reckon.comparison.harness import Comparison
from reckon.comparison.statistics import Standing
from reckon.comparison.summary import provenance
from reckon.evaluation.ranking.reasoning import ARMS
from reckon.evaluation.rating.measure import RatingRow
from reckon.files import write_text
from reckon.metrics.measures import measure_of
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, format_p, format_rate, metric_label, rate_label, signed
from reckon.reports.rating.tables import problems_table
from reckon.reports.tables import ABOVE_BEST

PUBLISHED = "†"  # beside a row that somebody else measured
NOT_CLEAR = "°"  # beside a number that does not differ significantly from the baseline's
TIMED = {"ranking": "user, ranked", "rating": "rating"}  # what a trained method needs time for
WORST_ERROR = "In rating units, lower is better; a reply without a rating counts with its worst possible error."
LIST_LABELS = {"arp": "mean popularity", "popularity_lift": "popularity lift"}


def tables_of(comparison: Comparison) -> dict[str, Grid]:
    """Every table by the name of its file; one that would be empty is left out."""
    made = {
        "metrics": metrics_table(comparison),
        "differences": differences_table(comparison),
        "lists": lists_table(comparison),
        "cost": cost_table(comparison),
        "reasoning": reasoning_table(comparison),
        "problems": replies_table(comparison),
        "guards": guards_table(comparison),
    }
    return {name: grid for name, grid in made.items() if grid.rows}


def write_tables(tables: Mapping[str, Grid], folder: Path) -> None:
    """Each table as NAME.md, NAME.csv and NAME.tex."""
    for name, grid in tables.items():
        for end, text in (("md", grid.to_markdown()), ("csv", grid.to_csv()), ("tex", grid.to_latex())):
            write_text(folder / f"{name}.{end}", text)


def metrics_table(comparison: Comparison) -> Grid:
    """One row per method: mean over seeds, deviation over seeds, 95 % interval over users; failures in words."""
    config = comparison.config
    metrics = config.metrics
    unclear = {(d.name, d.metric) for d in comparison.differences if not d.clear}
    rows = []
    for standing in comparison.standings:
        if not standing.whole:
            rows.append((f"{_flagged(standing)}\n{_failure(standing)}", "failed", *[""] * (len(metrics) - 1)))
            continue
        cells = [_metric_cell(standing, metric, (standing.name, metric) in unclear) for metric in metrics]
        rows.append((_flagged(standing), *cells))
    for published in config.published:
        values = published.values
        cells = [f"{values[metric]:.4f}" if metric in values else "" for metric in metrics]
        rows.append((f"{published.name} {PUBLISHED}", *cells))
    if comparison.best_possible:
        best = comparison.best_possible
        rows.append(("best possible", *(f"{best[metric]:.4f}" if metric in best else "" for metric in metrics)))
    tested = " and ".join(metric_label(metric) for metric in config.tests)
    caption = f"{WORST_ERROR} " if config.task == "rating" else ""
    several = len(config.seeds) > 1
    caption += f"Mean over rows{' and seeds' if several else ''}; 95 % bootstrap interval, resampling users"
    caption += "; ± deviation over seeds. " if several else ". "
    if comparison.differences:
        caption += (
            f"{NOT_CLEAR} not significantly different from {config.compared_with} (Holm-corrected 5 %; of {tested} "
            "alone, the rest is not tested). "
        )
    else:
        caption += f"Nothing was tested: {config.compared_with} failed. "
    for note in dict.fromkeys(published.note for published in config.published):
        caption += f"{PUBLISHED} {note.rstrip('.')}. "
    if _above_best(comparison):
        caption += f"{ABOVE_BEST} "
    if any("!" in row[0] for row in rows):
        caption += "! see the guards. "
    headings = ("method", *(config.metric_key(metric_label(metric)) for metric in metrics))
    return Grid(headings, tuple(rows), caption + provenance(comparison))


def _above_best(comparison: Comparison) -> bool:
    """Whether any method came out better than the best possible."""
    known = [
        (name, best) for name, best in (comparison.best_possible or {}).items() if name in comparison.config.metrics
    ]
    return any(
        (one.metric(name).interval.mean < best)
        if measure_of(name).lower_is_better
        else one.metric(name).interval.mean > best
        for one in comparison.whole
        for name, best in known
    )


def _metric_cell(standing: Standing, metric: str, unclear: bool) -> str:
    seen = standing.metric(metric)
    if metric.endswith("_rate"):  # says how far to trust the others
        return format_rate(metric, seen.interval.mean)
    spread = f"\n±{_short(seen.deviation)}" if len(seen.by_seed) > 1 else ""
    interval = format_interval(seen.interval.lo, seen.interval.hi)
    return f"{seen.interval.mean:.4f}{NOT_CLEAR if unclear else ''}\n{interval}{spread}"


def differences_table(comparison: Comparison) -> Grid:
    """Every method against the baseline."""
    rows = tuple(
        (
            f"{d.name} − {d.baseline}",
            comparison.config.metric_key(metric_label(d.metric)),
            signed(d.paired.difference) + ("" if d.clear else NOT_CLEAR),
            f"{signed(d.paired.lo)} to {signed(d.paired.hi)}",
            format_p(d.paired.p_value),
            format_p(d.corrected),
            f"{d.detectable:.3f}",
        )
        for d in comparison.differences
    )
    caption = (
        f"Paired bootstrap over users of the means over seeds: p says what other users would show, and not what other "
        f"seeds would. Holm's correction over {len(rows)} comparisons. "
        f"Detectable: the least true difference that one such comparison finds with power 0.8. "
        f"{NOT_CLEAR} not significant at 5 %. "
    )
    headings = ("paired difference", "metric", "mean", "95 % interval", "p", "p, corrected", "detectable")
    return Grid(headings, rows, caption + provenance(comparison))


def lists_table(comparison: Comparison) -> Grid:
    """What was recommended, whether right or not."""
    named = comparison.lists
    metrics = list(dict.fromkeys(metric for values in named.values() for metric in values))
    rows = tuple((name, *(_list_cell(metric, values[metric]) for metric in metrics)) for name, values in named.items())
    caption = (
        "Mean over seeds. Novelty in bits, mean popularity in training interactions, diversity 1 − TF-IDF cosine. "
    )
    return Grid(("method", *map(_list_label, metrics)), rows, caption + provenance(comparison))


def cost_table(comparison: Comparison) -> Grid:
    """What each method cost, and what its replies were like."""
    rates = list(
        dict.fromkeys(
            rate for standing in comparison.whole for cell in standing.cells.values() for rate in cell.about["rates"]
        )
    )
    rows = []
    for standing in comparison.whole:
        abouts = [cell.about for cell in standing.cells.values()]
        means = {rate: standing.mean_of("rates", rate) for rate in rates}
        rows.append(
            (
                standing.name,
                f"{standing.mean_of('seconds', 'training') or 0.0:.3g}",
                _peak_cell([about["peak_mib"] for about in abouts]),
                _trials_cell(comparison, standing),
                *(_rate_cell(rate, value) if value is not None else "" for rate, value in means.items()),
            )
        )
    task = comparison.config.task
    headings = ("method", "training, s", "peak memory, MiB", "trials", *(_rate_heading(rate, task) for rate in rates))
    return Grid(headings, tuple(rows), f"Mean over seeds, one thread each. {provenance(comparison)}")


def _peak_cell(peaks: Sequence[float | None]) -> str:
    """Mean in MiB; empty where a system did not tell."""
    known = [peak for peak in peaks if peak is not None]
    return f"{float(np.mean(known)):,.0f}" if len(known) == len(peaks) else ""


def _trials_cell(comparison: Comparison, standing: Standing) -> str:
    """Settings that tuning tried; of how many, where some failed."""
    failed = _failed_trials(comparison, standing)
    return f"{standing.trials - failed} of {standing.trials}" if failed else str(standing.trials or "")


def _failed_trials(comparison: Comparison, standing: Standing) -> int:
    tried = comparison.trials.get(standing.name)
    return sum(score is None for score in tried.scores) if tried else 0


def _rate_heading(rate: str, task: str) -> str:
    return f"ms per {TIMED[task]}" if rate == "seconds_per_user" else rate_label(rate)


def _rate_cell(rate: str, value: float) -> str:
    return f"{value * 1000:.3g}" if rate == "seconds_per_user" else format_rate(rate, value)


def reasoning_table(comparison: Comparison) -> Grid:
    """How much the reasoning matters, for methods that reason: the seeds' mean, and the largest p of the drops."""
    rows = []
    for standing in comparison.whole:
        effects = [cell.about["reasoning"] for cell in standing.cells.values() if cell.about.get("reasoning")]
        for arm in ARMS if effects else ():
            arms = [effect["arms"][arm] for effect in effects if arm in effect["arms"]]
            rows += [(f"{standing.name}, {arm}", *cells) for cells in _arm_cells(arms)]
    caption = "The same rows with other reasoning; the change is against the own, p the largest of the seeds. "
    return Grid(("reasoning", "metric", "mean", "change", "p"), tuple(rows), caption + provenance(comparison))


def _arm_cells(arms: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Metric, mean, change and p of one arm over the seeds; a word where no seed has the arm."""
    if not arms:
        return [("left out: the rows are one user's", "", "", "")]
    cells = []
    for metric in (metric for metric in arms[0] if all(metric in arm for arm in arms)):
        found = [arm[metric] for arm in arms]
        mean = float(np.mean([one["mean"] for one in found]))
        drops = [one["drop"] for one in found if "drop" in one]
        worst = max((one["drop_p"] for one in found if "drop_p" in one), default=None)
        cells.append(
            (
                metric_label(metric),
                format_rate(metric, mean) if metric.endswith("_rate") else f"{mean:.4f}",
                signed(0.0 - float(np.mean(drops))) if drops else "",
                format_p(worst) if worst is not None else "",
            )
        )
    return cells


def replies_table(comparison: Comparison) -> Grid:
    """How many replies gave no rating, by what was wrong with them, all seeds together; empty where each gave one."""
    counted = []
    for standing in comparison.whole:
        found = Counter[str]()
        for cell in standing.cells.values():
            found.update(cell.about.get("problems") or {})
        counted.append(RatingRow(standing.results[0], {}, dict(found.most_common())))
    grid = problems_table(counted)
    if grid is None:
        return Grid((), ())
    replies = len(comparison.rows) * len(comparison.config.seeds)
    count = f"Counts are of {replies:,} replies of each method, all seeds together."
    return replace(grid, caption=f"{grid.caption} {count} {provenance(comparison)}")


def guards_table(comparison: Comparison) -> Grid:
    """What was checked, and what was found."""
    rows: list[tuple[str, ...]] = [
        ("data", finding.check, finding.level, finding.text) for finding in comparison.findings
    ]
    for standing in comparison.standings:
        if failed := _failed_trials(comparison, standing):
            text = f"{failed} of {standing.trials} trials failed: see their folders"
            rows.append((f"{standing.name}, tuning", "failed", "warning", text))
        for seed, error in standing.failures.items():
            rows.append((f"{standing.name}, seed {seed}", "failed", "error", error))
        for seed, cell in standing.cells.items():
            rows += [
                (f"{standing.name}, seed {seed}", found["check"], found["level"], found["text"])
                for found in cell.about.get("findings", ())
                if found["level"] != "ok"
            ]
        clean = [cell for cell in standing.cells.values() if not _warnings([cell.about])]
        if standing.whole and len(clean) == len(standing.cells):
            checks = [found["check"] for found in clean[0].about.get("findings", ())]
            rows.append((standing.name, ", ".join(checks), "ok", "nothing found"))
    return Grid(("what", "check", "verdict", "finding"), tuple(rows), provenance(comparison))


def _flagged(standing: Standing) -> str:
    """The method's name, with a mark where a guard warns."""
    return standing.name + (" !" if _warnings([cell.about for cell in standing.cells.values()]) else "")


def _warnings(abouts: Sequence[Any]) -> bool:
    return any(found["level"] == "warning" for about in abouts for found in about.get("findings", ()))


def _failure(standing: Standing) -> str:
    seed, error = next(iter(standing.failures.items()))
    total = len(standing.failures) + len(standing.cells)
    return f"failed in {len(standing.failures)} of {total} seeds; seed {seed}: {error}"


def _list_label(metric: str) -> str:
    name, _, cutoff = metric.partition("@")
    return f"{LIST_LABELS.get(name, name)}@{cutoff}" if cutoff else metric_label(metric)


def _list_cell(metric: str, value: float) -> str:
    return f"{value:.1%}" if metric.startswith("coverage") else f"{value:.3g}"


def _short(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")
