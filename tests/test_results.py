"""What the committed results say, and that the page of results says the same."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
DEMOS = sorted(RESULTS.glob("demo-seed-*.json"))


def tables():
    spec = importlib.util.spec_from_file_location("results_table", ROOT / "benchmarks" / "results_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def holds(file: Path) -> bool:
    """80 % of the best possible, an interval above popularity's, a clear paired gain over the no-reasoning arm."""
    content = json.loads(file.read_text())
    rows = {row["name"]: row for row in content["rows"]}
    gain = next(
        pair
        for pair in content["paired"]
        if (pair["name"], pair["baseline"], pair["metric"]) == ("r2ec", "no-reasoning", "hit@5")
    )
    return (
        rows["r2ec"]["hit@5"] >= 0.8 * content["best_possible"]["hit@5"]
        and rows["r2ec"]["hit@5_ci"][0] > rows["popularity"]["hit@5_ci"][1]
        and gain["ci"][0] > 0
    )


def test_the_demo_holds_in_at_least_four_fifths_of_the_committed_seeds():
    assert DEMOS
    assert sum(map(holds, DEMOS)) >= 0.8 * len(DEMOS)


@pytest.mark.parametrize("file", sorted(RESULTS.glob("*.json")), ids=lambda file: file.stem)
def test_no_committed_evaluation_has_ndcg_above_hit(file):
    for row in json.loads(file.read_text()).get("rows", []):
        for metric in [name for name in row if name.startswith("hit@") and "_" not in name]:
            assert row[metric.replace("hit", "ndcg")] <= row[metric] + 1e-12


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
    "compare-movielens": "comparison",
}


def test_the_page_of_results_shows_the_committed_files():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    module = tables()
    assert module.demo_table(DEMOS) in page
    assert module.sides_table([RESULTS / f"sasrec-{name}.json" for name in ("movielens", "instruments")]) in page
    for name, kind in SHOWN.items():
        assert module.TABLES[kind](RESULTS / f"{name}.json") in page, name


@pytest.mark.parametrize("name", [name for name, kind in SHOWN.items() if kind == "comparison"])
def test_a_committed_comparison_is_whole_over_three_seeds_with_the_arm_without_reasoning(name):
    content = json.loads((RESULTS / f"{name}.json").read_text())
    assert len(content["provenance"]["seeds"]) >= 3
    assert "no-reasoning" in [row["name"] for row in content["rows"]]
    assert all(not row["failures"] and len(row["cells"]) >= 3 for row in content["rows"])


def test_on_amazon_industrial_a_hybrid_reaches_what_one_by_hand_did():
    content = json.loads((RESULTS / "compare-industrial.json").read_text())
    (hybrid,) = [row for row in content["rows"] if row["name"] == "hybrid"]
    assert hybrid["hit@10"] >= 0.150 and hybrid["ndcg@10"] >= 0.097


@pytest.mark.parametrize("name", ["movielens", "instruments"])
def test_sasrec_is_on_the_mean_of_three_seeds_at_least_as_good_as_rectools_under_the_same_budget(name):
    content = json.loads((RESULTS / f"sasrec-{name}.json").read_text())
    assert len(content["seeds"]) >= 3
    assert len({json.dumps(found["settings"] | {"seed": 0}) for found in content["cells"]}) == 1
    ours, (theirs,) = content["means"].pop("reckon"), content["means"].values()
    for metric in ("hit@10", "ndcg@10"):
        assert ours[metric]["mean"] >= theirs[metric]["mean"]


def test_on_the_rated_bookshop_reczero_gets_halfway_to_the_best_possible_and_recone_starts_higher():
    content = json.loads((RESULTS / "rating-seeds.json").read_text())
    assert len(content["seeds"]) >= 3
    for result in content["seeds"]:
        rows = {row["name"]: row for row in result["rows"]}
        halfway = (rows["global-mean"]["mae"] + result["best_possible"]["mae"]) / 2
        for arm in ("reczero", "recone"):
            assert result["best_possible"]["mae"] < rows[arm]["mae"] < min(rows["bias"]["mae"], halfway)
            assert rows[arm]["parse_rate"] >= 0.95
    means = content["summary"]
    lift = means["reczero: last reward − first reward"]
    higher = means["recone − reczero: first reward"]
    sooner = means["recone − reczero: updates to RecZero's last reward"]
    assert lift["mean"] > lift["half_width"] and higher["mean"] > higher["half_width"]
    assert sooner["mean"] < -sooner["half_width"]


def test_on_the_bookshop_reasoning_lifts_the_rechead_and_stage_two_lifts_and_shortens_it():
    content = json.loads((RESULTS / "rporec-seeds.json").read_text())
    assert len(content["seeds"]) >= 3
    for result in content["seeds"]:
        gain = next(
            pair
            for pair in result["paired"]
            if (pair["name"], pair["baseline"], pair["metric"]) == ("rporec, stage I", "history-only", "ndcg@10")
        )
        assert gain["ci"][0] > 0 and result["seconds"] <= 8 * 60
    means = content["summary"]
    for clear in ("Stage I − history only: ndcg@10", "Stage II − Stage I: ndcg@10"):
        assert means[clear]["mean"] > means[clear]["half_width"]
    shorter = means["Stage II − Stage I: tokens of the most likely reply"]
    assert shorter["mean"] < -shorter["half_width"]


def test_a_table_of_a_comparison_tells_failures_flags_and_what_is_published(tmp_path):
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
