"""Tables of rankings side by side: metrics with intervals, what was counted, paired differences.

Entry points: `comparison_table`, `rates_table`, `pairs_table`. They read results and pairs, and compare
nothing.
"""

from collections.abc import Mapping, Sequence

from reckon.evaluation.pairs import Pair
from reckon.metrics import CUTOFFS, RankingResult, coverage, metric_interval, metric_values, mrr
from reckon.reports.grid import Grid
from reckon.reports.labels import format_interval, format_p, format_rate, metric_label, rate_label, signed
from reckon.reports.tables import ABOVE_BEST


def comparison_table(
    results: Sequence[RankingResult],
    cutoffs: Sequence[int] = CUTOFFS,
    best_possible: Mapping[str, float] | None = None,
) -> Grid:
    """One row per result: Hit@K and NDCG@K with 95 % intervals beneath; last the best possible, where it is known."""
    metrics = [f"{name}@{k}" for k in cutoffs for name in ("hit", "ndcg")]
    rows = []
    for result in results:
        intervals = [metric_interval(result, metric) for metric in metrics]
        rows.append((result.name, *(f"{i.mean:.3f}\n{format_interval(i.lo, i.hi)}" for i in intervals)))
    if best_possible:
        best = (f"{best_possible[metric]:.3f}" if metric in best_possible else "" for metric in metrics)
        rows.append(("best possible", *best))
    caption = f"{len(results[0]):,} rows, {results[0].catalog_size:,} items; 95 % bootstrap intervals over users."
    known = [(metric, best) for metric, best in (best_possible or {}).items() if metric in metrics]
    if any(metric_values(result, metric).mean() > best for result in results for metric, best in known):
        caption += f" {ABOVE_BEST}"
    return Grid(("method", *map(metric_label, metrics)), tuple(rows), caption)


def rates_table(results: Sequence[RankingResult], k: int = max(CUTOFFS)) -> Grid:
    """One row per result: MRR, coverage@k, and whatever the results counted themselves; empty where one did not."""
    with_coverage = [result for result in results if has_coverage(result, k)]
    rates = list(dict.fromkeys(rate for result in results for rate in result.rates))
    rows = []
    for result in results:
        cells = [result.name, f"{mrr(result):.3f}"]
        if with_coverage:
            cells.append(f"{coverage(result, k):.1%}" if result in with_coverage else "")
        cells += [format_rate(rate, result.rates[rate]) if rate in result.rates else "" for rate in rates]
        rows.append(tuple(cells))
    headings = ("method", "MRR", *([f"coverage@{k}"] if with_coverage else []), *map(rate_label, rates))
    return Grid(headings, tuple(rows))


def has_coverage(result: RankingResult, k: int) -> bool:
    """Whether the result kept lists of at least k items (or of the whole catalog)."""
    return result.recommended is not None and result.recommended.shape[1] >= min(k, result.catalog_size)


def pairs_table(pairs: Sequence[Pair]) -> Grid:
    """One row per paired difference, with its interval and p-value."""
    rows = tuple(
        (
            f"{pair.name} − {pair.baseline}",
            metric_label(pair.metric),
            signed(pair.paired.difference),
            f"{signed(pair.paired.lo)} to {signed(pair.paired.hi)}",
            format_p(pair.paired.p_value),
        )
        for pair in pairs
    )
    return Grid(("paired difference", "metric", "mean", "95 % interval", "p"), rows)
