"""The numbers of the rating task side by side: errors with intervals, what runs counted, paired differences.

Entry points: `measure` makes a `RatingRow` of a result; `rating_table`, `counts_table` and `problems_table` are grids
of rows; `rating_pairs` compares rows, `rating_pairs_table` shows it. Predicts nothing: it reads `RatingResult`s.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reckon.evaluation.compare import (
    Grid,
    Pair,
    format_interval,
    format_p,
    format_rate,
    metric_label,
    rate_label,
    signed,
)
from reckon.metrics.rating import RatingResult, mae_difference, rating_summary, rmse_difference

METRICS = ("mae", "rmse")
DIFFERENCES = {"mae": mae_difference, "rmse": rmse_difference}
SHOWN_PROBLEMS = 3  # in a cell of a terminal


@dataclass(frozen=True, slots=True)
class RatingRow:
    """One predictor, measured once: what every table and chart shows of it."""

    result: RatingResult
    summary: Mapping[str, Any]
    """`reckon.metrics.rating.rating_summary` of the result."""
    problems: Mapping[str, int] | None = None
    """Replies by what was wrong with them, most frequent first; None for a predictor that writes no replies."""

    @property
    def name(self) -> str:
        """The name in tables and charts."""
        return self.result.name

    @property
    def writes(self) -> bool:
        """Whether it writes replies: a run, not a baseline."""
        return self.problems is not None

    def to_dict(self) -> dict[str, Any]:
        """The row of `metrics.json`: summary, rates, and for a run its problems."""
        problems = {} if self.problems is None else {"problems": dict(self.problems)}
        return dict(self.summary) | dict(self.result.rates) | problems


def measure(result: RatingResult, problems: Mapping[str, int] | None = None) -> RatingRow:
    """Take the errors and their intervals, which for many rows is seconds of resampling: once per result."""
    counted = None if problems is None else dict(sorted(problems.items(), key=lambda one: (-one[1], one[0])))
    return RatingRow(result, rating_summary(result), counted)


def rating_table(
    rows: Sequence[RatingRow], best_possible: Mapping[str, float] | None = None, notes: Sequence[str] = ()
) -> Grid:
    """One line per row: MAE and RMSE with 95 % intervals beneath, share with a rating; last the best possible."""
    lines = []
    for row in rows:
        errors = (f"{row.summary[metric]:.3f}\n{format_interval(*row.summary[f'{metric}_ci'])}" for metric in METRICS)
        lines.append((row.name, *errors, f"{row.summary['parse_rate']:.1%}"))
    if best_possible:
        best = (f"{best_possible[metric]:.3f}" if metric in best_possible else "" for metric in METRICS)
        lines.append(("best possible", *best, ""))
    first = rows[0].result
    sentences = [
        f"{len(first):,} rows on a scale of {first.scale}; lower is better; 95 % bootstrap intervals over users.",
        "A row without a rating counts with its worst possible error.",
        *notes,
    ]
    return Grid(("method", *map(metric_label, METRICS), metric_label("parse_rate")), tuple(lines), " ".join(sentences))


def counts_table(rows: Sequence[RatingRow]) -> Grid | None:
    """What the runs counted themselves, and their most frequent problems; None where no row is a run."""
    runs = [row for row in rows if row.writes]
    if not runs:
        return None
    rates = list(dict.fromkeys(rate for row in runs for rate in row.result.rates))
    lines = [
        (
            row.name,
            *(format_rate(rate, row.result.rates[rate]) if rate in row.result.rates else "" for rate in rates),
            _most_frequent(row.problems or {}),
        )
        for row in runs
    ]
    return Grid(("run", *map(rate_label, rates), "problems"), tuple(lines), "Shares and problems are of all replies.")


def _most_frequent(problems: Mapping[str, int]) -> str:
    lines = [f"{name}: {count:,}" for name, count in list(problems.items())[:SHOWN_PROBLEMS]]
    rest = sum(list(problems.values())[SHOWN_PROBLEMS:])
    return "\n".join(lines + ([f"others: {rest:,}"] if rest else [])) or "none"


def problems_table(rows: Sequence[RatingRow]) -> Grid | None:
    """How many replies of each run had which problem; None where there are none."""
    runs = [row for row in rows if row.problems]
    names = list(dict.fromkeys(name for row in runs for name in row.problems or {}))
    if not names:
        return None
    lines = tuple((name, *(f"{(row.problems or {}).get(name, 0):,}" for row in runs)) for name in names)
    return Grid(("problem", *(row.name for row in runs)), lines, "Replies by the first rule that they break.")


def rating_pairs(rows: Sequence[RatingRow]) -> list[Pair]:
    """Paired differences in MAE and RMSE of the last row from each row before it; below 0 the last one is better.

    Raises:
        DataError: a row holds other users, targets or another scale.
    """
    *others, main = rows
    return [
        Pair(main.name, row.name, metric, DIFFERENCES[metric](main.result, row.result))
        for row in others
        for metric in METRICS
    ]


def rating_pairs_table(pairs: Sequence[Pair]) -> Grid:
    """One line per row that another one, the same in all pairs, is compared with."""
    by_baseline: dict[str, list[str]] = {}
    for pair in pairs:
        found = pair.paired
        cells = f"{signed(found.difference)}\n{signed(found.lo)} to {signed(found.hi)}", format_p(found.p_value)
        by_baseline.setdefault(pair.baseline, []).extend(cells)
    headings = [heading for metric in METRICS for heading in (metric_label(metric), "p")]
    lines = tuple((f"minus {baseline}", *cells) for baseline, cells in by_baseline.items())
    caption = "Paired by row; below 0 the run is closer to the truth. 95 % bootstrap intervals over users."
    return Grid((f"{pairs[0].name} …", *headings), lines, caption)
