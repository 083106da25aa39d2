"""The rating demo from shop to report, at a size that teaches nothing."""

import json
from dataclasses import replace
from functools import partial

from reckon.demo import rated_bookshop as demo


def test_the_demo_writes_a_report_and_all_its_numbers(tmp_path, monkeypatch):
    small = {"hidden_size": 32, "layers": 2, "intermediate_size": 32, "vocab_size": 400, "steps": 2}
    monkeypatch.setattr(demo, "BACKBONE", replace(demo.BACKBONE, **small))
    monkeypatch.setattr(demo, "UPDATES", 2)
    monkeypatch.setattr(demo, "write_rated_bookshop", partial(demo.write_rated_bookshop, readers=40))
    report = demo.run_rating_demo(tmp_path / "demo", seed=3)
    assert "RecZero" in report.read_text(encoding="utf-8")
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    rows = {row["name"]: row for row in metrics["rows"]}
    assert {"global-mean", "bias", "text", "reczero"} <= set(rows)
    best = metrics["best_possible"]
    for row in rows.values():
        assert best["mae"] <= row["mae"] <= 4 and best["rmse"] <= row["rmse"] <= 4
        assert row["mae_ci"][0] <= row["mae"] <= row["mae_ci"][1]
    assert 0 <= rows["reczero"]["parse_rate"] <= 1
    manifest = json.loads((tmp_path / "demo" / "reczero" / "manifest.json").read_text())
    assert metrics["seconds"] > manifest["training_seconds"]
    assert (tmp_path / "demo" / "trajectories.parquet").exists()
