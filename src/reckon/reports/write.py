"""Put an evaluation into files: `metrics.json`, and `report.html` with everything in one page.

Entry points: `write_evaluation` for both files, `tables_of` for what a terminal shows, `folder_of` for where `reckon
evaluate` writes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reckon.data.splits import Split
from reckon.errors import DataError
from reckon.evaluation.pairs import Pair
from reckon.evaluation.ranking.evaluate import Evaluation
from reckon.evaluation.rating.evaluate import RatingEvaluation
from reckon.files import write_text
from reckon.locks import locked
from reckon.metrics import summary
from reckon.reports.grid import Grid
from reckon.reports.page import PageData, write_report
from reckon.reports.ranking.report import ranking_page, ranking_tables
from reckon.reports.rating.report import rating_page, rating_tables
from reckon.reports.tables import findings_line, findings_table


@locked(lambda given: given["folder"])
def write_evaluation(
    evaluation: Evaluation | RatingEvaluation,
    folder: str | Path,
    *,
    title: str | None = None,
    subtitle: str | None = None,
    seconds: float | None = None,
) -> Path:
    """Write both files and return the path of the page.

    Args:
        evaluation: what to show.
        folder: where; it is made.
        title, subtitle: of the page; default: data set and run.
        seconds: of all the work behind it; default: of the evaluation.
    """
    folder, about = Path(folder), evaluation.about
    rows: list[Mapping[str, Any]]
    page: PageData
    if isinstance(evaluation, Evaluation):
        rows = [summary(result, evaluation.cutoffs) for result in evaluation.results]
        page = ranking_page(evaluation, title, subtitle)
    else:
        rows = [row.to_dict() for row in evaluation.rows]
        page = rating_page(evaluation, title, subtitle)
    taken = seconds if seconds is not None else about.seconds if about is not None else 0.0
    further = {
        "findings": {name: [one.to_dict() for one in found] for name, found in evaluation.findings.items()},
        "groups": [one.to_dict() for one in evaluation.groups],
    }
    write_metrics(folder / "metrics.json", rows, evaluation.best_possible, taken, evaluation.pairs, further)
    return write_report(folder / "report.html", page)


def tables_of(evaluation: Evaluation | RatingEvaluation) -> list[Grid]:
    """What a terminal shows: metrics, what was counted, paired differences, and what guards warn of."""
    of_task = ranking_tables(evaluation) if isinstance(evaluation, Evaluation) else rating_tables(evaluation)
    if not evaluation.findings:
        return of_task
    warnings = findings_table(evaluation.findings, whole=False)
    line = findings_line(evaluation.findings)
    return [*of_task, Grid((line,), ()) if warnings is None else Grid(warnings.headings, warnings.rows, line)]


def folder_of(run: str | Path, split: Split) -> Path:
    """RUN/evaluation; validation results have a folder of their own."""
    return Path(run) / ("evaluation" if split == "test" else f"evaluation-{split}")


def write_metrics(
    path: str | Path,
    rows: Sequence[Mapping[str, Any]],
    best_possible: Mapping[str, float] | None,
    seconds: float,
    paired: Sequence[Pair] = (),
    further: Mapping[str, Any] | None = None,
) -> Path:
    """Write `metrics.json`, whole or not at all.

    Args:
        path: the file.
        rows: one `reckon.metrics.summary` per result, or one `RatingRow.to_dict` per predictor of ratings.
        best_possible: metric names to values, None where no bound is known.
        seconds: wall time of everything the file reports on.
        paired: paired differences between the rows.
        further: entries beside these.

    Raises:
        DataError: a number is NaN or infinite, which JSON has no word for and no metric may be.
    """
    content = {
        "rows": [dict(row) for row in rows],
        "best_possible": None if best_possible is None else dict(best_possible),
        "seconds": seconds,
        "paired": [pair.to_dict() for pair in paired],
        **(further or {}),
    }
    try:
        text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    except ValueError:
        raise DataError(str(path), "a metric is NaN or infinite", "look at the results before writing them") from None
    return write_text(path, text + "\n")
