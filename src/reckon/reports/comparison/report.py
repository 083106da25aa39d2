"""From a config file to everything a comparison writes: behind `reckon compare --data DIR --config FILE`.

Entry points: `compare_and_report`; `page_of` for the page alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from reckon.comparison.config import load_comparison
from reckon.comparison.harness import Comparison, run_comparison
from reckon.evaluation.compare import Grid
from reckon.files import write_text
from reckon.reports.comparison.page import ComparisonPage, comparison_page
from reckon.reports.comparison.ranking_sections import RANKING_SECTIONS
from reckon.reports.comparison.rating_sections import RATING_SECTIONS
from reckon.reports.comparison.tables import metrics_of, tables_of, write_tables
from reckon.reports.page import write_report


def compare_and_report(
    data: str | Path, config: str | Path, out: str | Path, overrides: Sequence[str] = ()
) -> dict[str, Grid]:
    """Train, compare, write `metrics.json`, tables and `report.html`; returns the tables."""
    out = Path(out)
    comparison = run_comparison(data, load_comparison(Path(config), overrides), out)
    write_text(out / "metrics.json", json.dumps(metrics_of(comparison), indent=2, allow_nan=False) + "\n")
    tables = tables_of(comparison)
    write_tables(tables, out / "tables")
    write_report(out / "report.html", page_of(comparison, tables))
    return tables


def page_of(comparison: Comparison, tables: dict[str, Grid]) -> ComparisonPage:
    """The page of a comparison, with the sections of its task."""
    sections = RATING_SECTIONS if comparison.config.task == "rating" else RANKING_SECTIONS
    return comparison_page(comparison, tables, sections)
