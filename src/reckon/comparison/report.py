"""From a config file to everything a comparison writes: behind `reckon compare --data DIR --config FILE`.

Entry point: `compare_and_report`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from reckon.comparison.config import load_comparison
from reckon.comparison.harness import run_comparison
from reckon.comparison.page import page_of
from reckon.comparison.tables import metrics_of, tables_of, write_tables
from reckon.evaluation.compare import Grid
from reckon.evaluation.page import write_report
from reckon.files import write_text


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
