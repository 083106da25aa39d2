"""Tables of predicted ratings: errors with intervals, what runs counted, problems of replies, paired differences.

Entry points: `errors_table`, `counts_table`, `problems_table`, `pairs_table`. They read `RatingRow`s and pairs.
"""

from collections.abc import Mapping, Sequence

from reckon.evaluation.pairs import Pair
from reckon.evaluation.rating.measure import METRICS, RatingRow
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, format_p, format_rate, metric_label, rate_label, signed
from reckon.reports.tables import ABOVE_BEST

SHOWN_PROBLEMS = 3  # in a cell of a terminal


def errors_table(
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
    known = [(metric, best) for metric, best in (best_possible or {}).items() if metric in METRICS]
    if any(row.summary[metric] < best for row in rows for metric, best in known):
        sentences.append(ABOVE_BEST)
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


def pairs_table(pairs: Sequence[Pair]) -> Grid:
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
