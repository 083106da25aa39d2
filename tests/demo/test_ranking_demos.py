"""The demos that rank, from shop to report, at a size that teaches nothing."""

import json
from dataclasses import replace
from functools import partial

import pytest

from reckon.demo import bookshop, rporec_bookshop
from reckon.small_backbone import rporec_texts as pretrain_rporec_texts

SMALL = {"hidden_size": 32, "layers": 1, "intermediate_size": 32, "vocab_size": 400, "steps": 2}
FEW = {"train_readers": 30, "valid_readers": 10, "test_readers": 20, "notes": 100}


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    for demo in (bookshop, rporec_bookshop):
        monkeypatch.setattr(demo, "BACKBONE", replace(demo.BACKBONE, **SMALL))
        monkeypatch.setattr(demo, "UPDATES", 2)
        monkeypatch.setattr(demo, "write_bookshop", partial(demo.write_bookshop, **FEW))
    monkeypatch.setattr(pretrain_rporec_texts, "SHOP_NOTES", 100)


def rows_and_pairs(folder):
    """What `metrics.json` says, after what is true of it whatever the method."""
    metrics = json.loads((folder / "metrics.json").read_text())
    for row in metrics["rows"]:
        assert row["ndcg@5"] <= row["hit@5"] and row["hit@5_ci"][0] <= row["hit@5"] <= row["hit@5_ci"][1]
    assert 0 < metrics["best_possible"]["hit@5"] <= 1
    assert (folder / "trajectories.parquet").exists()
    return metrics["rows"], {(pair["name"], pair["baseline"]) for pair in metrics["paired"]}


def test_the_demo_of_r2ec_ranks_with_both_arms(tmp_path):
    report = bookshop.run_ranking_demo(tmp_path / "demo", seed=3)
    assert "R²ec" in report.read_text(encoding="utf-8")
    rows, pairs = rows_and_pairs(tmp_path / "demo")
    assert [row["name"] for row in rows] == [
        "popularity",
        "untrained reasoning",
        "no-reasoning",
        "supervised",
        "r2ec, reasoning left out",
        "r2ec",
    ]
    assert pairs == {("r2ec", row["name"]) for row in rows[:-1]}


def test_the_demo_of_rporec_ranks_with_every_stage(tmp_path):
    report = rporec_bookshop.run_rporec_demo(tmp_path / "demo", seed=3)
    assert "RPORec" in report.read_text(encoding="utf-8")
    rows, pairs = rows_and_pairs(tmp_path / "demo")
    history, first, second = rporec_bookshop.HISTORY, rporec_bookshop.FIRST, rporec_bookshop.SECOND
    assert [row["name"] for row in rows] == [
        *("popularity", history, first),
        f"{second}, reasoning left out",
        second,
    ]
    assert pairs == {(first, history)} | {(second, row["name"]) for row in rows[:-1]}
    assert "reply_length" in rows[-1] and "reply_length" not in rows[1]
