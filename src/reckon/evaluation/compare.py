"""Put results side by side: numbers with intervals, paired differences, and the file `metrics.json`.

Entry points: `comparison_table`, `rates_table` and `pairs_table` (each renders for a terminal or as Markdown),
`compare` for the paired differences themselves, `write_metrics` for the file. `Grid`, `Pair`, `pairs_table` and
`write_metrics` serve every task; what is about ratings alone is in `rating_tables`.
Does not rank anything: it reads `RankingResult`s.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from reckon.errors import ConfigError, DataError
from reckon.files import write_text
from reckon.metrics import CUTOFFS, PairedDifference, RankingResult, coverage, metric_interval, mrr, paired_difference

SHARES = ("truncated", "parsed", "finished")  # rates that are shares of replies; so is every name ending in _rate
LABELS = {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR", "mae": "MAE", "rmse": "RMSE", "parse_rate": "parse rate"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One paired difference: `name` minus `baseline` in one metric, over the same rows."""

    name: str
    baseline: str
    metric: str
    paired: PairedDifference

    @property
    def clear(self) -> bool:
        """Whether the 95 % interval leaves zero out."""
        return self.paired.lo > 0 or self.paired.hi < 0

    def to_dict(self) -> dict[str, Any]:
        """An entry of `paired` in `metrics.json`."""
        pair = self.paired
        return {
            "name": self.name,
            "baseline": self.baseline,
            "metric": self.metric,
            "difference": pair.difference,
            "ci": [pair.lo, pair.hi],
            "p_value": pair.p_value,
        }


@dataclass(frozen=True, slots=True)
class Grid:
    """A table before it is drawn: a heading per column, text in the cells, lines of a cell split by a newline."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def to_rich(self) -> Table:
        """For a terminal."""
        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
            caption=Text(self.caption) if self.caption else None,  # text, not rich markup
            caption_justify="left",
        )
        for number, heading in enumerate(self.headings):
            table.add_column(Text(heading), justify="left" if number == 0 else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))  # a name is text, not rich markup
        return table

    def to_markdown(self) -> str:
        """For a document: the lines of a cell follow each other."""
        align = ["---"] + ["--:"] * (len(self.headings) - 1)
        lines = [self.headings, align, *self.rows]
        table = "\n".join(f"| {' | '.join(_markdown_cell(cell) for cell in line)} |" for line in lines)
        return f"{table}\n\n{self.caption}\n" if self.caption else f"{table}\n"

    def to_csv(self) -> str:
        """For a spreadsheet: one line per row, the lines of a cell joined by a blank, without the caption."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.headings)
        writer.writerows([cell.replace("\n", " ") for cell in row] for row in self.rows)
        return file.getvalue()

    def to_latex(self) -> str:
        """For a paper: a `table` with the rules of booktabs, everything that LaTeX would read as a command escaped."""
        columns = "l" + "r" * (len(self.headings) - 1)
        lines = [" & ".join(map(_latex_cell, row)) + r" \\" for row in (self.headings, *self.rows)]
        head = [r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule"]
        caption = [rf"\caption{{{_latex_cell(self.caption)}}}"] if self.caption else []
        return "\n".join([*head, *lines[1:], r"\bottomrule", r"\end{tabular}", *caption, r"\end{table}"]) + "\n"


LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "°": r"$^\circ$",
    "†": r"$^\dagger$",
    "²": "$^2$",
    "×": r"$\times$",
    "–": "--",
    "\n": " ",
}


def _latex_cell(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def _markdown_cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


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
    caption = f"{len(results[0]):,} rows, {results[0].catalog_size:,} items; 95 % bootstrap intervals over users"
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


def compare(
    results: Sequence[RankingResult], baseline_name: str, metrics: Sequence[str] = ("hit@5", "ndcg@10")
) -> list[Pair]:
    """Paired difference of every other result from the one called `baseline_name`, in the order of the results.

    Raises:
        ConfigError: no result has that name.
        DataError: a result holds other rows than the baseline.
    """
    baseline = find_result(results, baseline_name)
    return [
        Pair(result.name, baseline.name, metric, paired_difference(result, baseline, metric))
        for result in results
        if result is not baseline
        for metric in metrics
    ]


def find_result(results: Sequence[RankingResult], name: str) -> RankingResult:
    """The result of that name; an unknown name is an error that lists the names there are."""
    for result in results:
        if result.name == name:
            return result
    raise ConfigError("baseline_name", name, "no result has this name", f"use one of {[r.name for r in results]}")


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


def write_metrics(
    path: str | Path,
    rows: Sequence[Mapping[str, Any]],
    best_possible: Mapping[str, float] | None,
    seconds: float,
    paired: Sequence[Pair] = (),
) -> Path:
    """Write `metrics.json`, whole or not at all.

    Args:
        path: the file.
        rows: one `reckon.metrics.summary` per result, or one `RatingRow.to_dict` per predictor of ratings.
        best_possible: metric names to values, None where no bound is known.
        seconds: wall time of everything the file reports on.
        paired: paired differences between the rows.

    Raises:
        DataError: a number is NaN or infinite, which JSON has no word for and no metric may be.
    """
    content = {
        "rows": [dict(row) for row in rows],
        "best_possible": None if best_possible is None else dict(best_possible),
        "seconds": seconds,
        "paired": [pair.to_dict() for pair in paired],
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise DataError(str(path), "a metric is NaN or infinite", "look at the results before writing them") from None
    return write_text(path, text + "\n")


def metric_label(metric: str) -> str:
    """`hit@5` as it is written in tables and charts: `Hit@5`."""
    name, _, cutoff = metric.partition("@")
    label = LABELS.get(name, name.capitalize())
    return f"{label}@{cutoff}" if cutoff else label


def rate_label(rate: str) -> str:
    """`reply_length` as `reply length`."""
    return rate.replace("_", " ").replace("/", " ")


def format_rate(rate: str, value: float) -> str:
    """A share as a percentage, any other rate with three significant digits."""
    return f"{value:.1%}" if rate in SHARES or rate.endswith("_rate") else f"{value:.3g}"


def format_interval(lo: float, hi: float) -> str:
    """0.381 and 0.443 as `.381–.443`: six of them have to fit a terminal of 80 columns."""
    return "–".join(f"{bound:.3f}".removeprefix("0") for bound in (lo, hi))


def signed(difference: float) -> str:
    """A difference with its sign, and a true minus."""
    return f"{difference:+.3f}".replace("-", "−")


def format_p(p_value: float) -> str:
    """Three decimals; what 2,000 resamples cannot tell from zero is said so."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
