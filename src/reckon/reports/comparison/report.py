"""What a comparison writes: `metrics.json`, tables and `report.html`.

Entry points: `write_comparison`; `page_of` for the page alone.
"""

import json
from pathlib import Path

from reckon.comparison.harness import Comparison
from reckon.comparison.summary import metrics_of
from reckon.files import write_text
from reckon.locks import locked
from reckon.reports.comparison.page import ComparisonPage, comparison_page
from reckon.reports.comparison.ranking_sections import RANKING_SECTIONS
from reckon.reports.comparison.rating_sections import RATING_SECTIONS
from reckon.reports.comparison.tables import tables_of, write_tables
from reckon.reports.grid import Grid
from reckon.reports.page import write_report


@locked()
def write_comparison(comparison: Comparison, out: str | Path) -> dict[str, Grid]:
    """Write everything into the comparison's folder; returns the tables."""
    out, tables = Path(out), tables_of(comparison)
    write_text(out / "metrics.json", json.dumps(metrics_of(comparison), indent=2, allow_nan=False) + "\n")
    write_tables(tables, out / "tables")
    write_report(out / "report.html", page_of(comparison, tables))
    return tables


def page_of(comparison: Comparison, tables: dict[str, Grid]) -> ComparisonPage:
    """The page of a comparison, with the sections of its task."""
    sections = RATING_SECTIONS if comparison.config.task == "rating" else RANKING_SECTIONS
    return comparison_page(comparison, tables, sections)
