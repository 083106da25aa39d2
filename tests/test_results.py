"""The tables of docs/results.md are those that benchmarks/results_table.py makes of the committed files."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
DEMOS = sorted(RESULTS.glob("demo-seed-*.json"))


def tables():
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "benchmarks" / "results_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SHOWN = {
    "industrial": "run",
    "industrial-rporec": "run",
    "movielens": "run",
    "movielens-rporec": "run",
    "rating-seeds": "rating-seeds",
    "rporec-seeds": "rporec-seeds",
    "digital-music-ratings": "rating",
    "movielens-ratings": "rating",
    "compare-industrial": "comparison",
    "compare-instruments": "comparison",
    "industrial-fusion": "comparison",
    "compare-movielens": "comparison",
}


def test_every_table_of_the_page_equals_the_one_made_of_its_file():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    module = tables()
    assert module.demo_table(DEMOS) in page
    assert module.sides_table([RESULTS / f"sasrec-{name}.json" for name in ("movielens", "instruments")]) in page
    for name, kind in SHOWN.items():
        assert module.TABLES[kind](RESULTS / f"{name}.json") in page, name


def test_a_table_of_a_comparison_shows_failures_warnings_and_published_rows(tmp_path):
    pair = {"name": "good", "baseline": "plain", "metric": "mae", "difference": -0.1, "ci": [-0.2, 0.05]}
    numbers = {"mae": 0.5, "mae_ci": [0.4, 0.6], "mae_sd": 0.01, "training_seconds": 3.0, "trials": 0, "failures": {}}
    warning = [{"findings": [{"level": "warning"}]}]
    content = {
        "rows": [
            {"name": "plain", "cells": [{"findings": []}], **numbers},
            {"name": "good", "cells": warning, **numbers},
            {"name": "broken", "cells": [], "failures": {"1": "no such folder"}},
        ],
        "paired": [pair | {"significant": False, "detectable": 0.07}],
        "published": [{"name": "Paper", "values": {"mae": 0.4}, "note": "from its paper"}],
        "provenance": {"seeds": [0, 1, 2], "trials": 4, "data": "d" * 64, "rows": "r" * 64},
    }
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    lines = tables().comparison_table(tmp_path / "metrics.json").splitlines()
    assert lines[0] == "| method | MAE | MAE minus plain | training, s | trials |"
    assert lines[3] == "| good ! | 0.500 (0.400–0.600) ±0.010° | -0.100 (-0.200 to +0.050) | 3 |  |"
    assert lines[4].startswith("| broken | failed: no such folder |") and lines[4].count("|") == lines[0].count("|")
    assert lines[5].startswith("| Paper † | 0.400 |") and lines[5].count("|") == lines[0].count("|")
    assert "0.070 in MAE" in lines[-1] and "† from its paper." in lines[-1] and "! a guard warns" in lines[-1]
