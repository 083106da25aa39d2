"""Evaluating finished ranking runs: cut-offs, windows, arms beside, where it is written."""

import json

import pytest
from support.shelf import backbone_folder, dataset, settings

from reckon.errors import CheckpointError
from reckon.evaluation import evaluate_run
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import fit


def trained(folder, data, arm="full", **changes):
    model = R2ec.from_backbone(
        backbone_folder(folder / f"backbone-{arm}"), data, settings(arm, max_steps=1, eval_steps=1, **changes)
    )
    fit(model, data, folder / arm, progress=False)
    return folder / arm


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = dataset(folder / "data")
    return trained(folder, data), trained(folder, data, "no-reasoning", prompt={"window": 1})


def test_any_cut_off_may_be_asked_for(runs):
    evaluation = evaluate_run(runs[0], ks=(3, 50))
    rows = json.loads((runs[0] / "evaluation" / "metrics.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["popularity", "r2ec, reasoning left out", "r2ec"]
    assert all(row["hit@50"] >= row["hit@3"] >= row["ndcg@3"] for row in rows)
    assert evaluation.results[-1].recommended.shape[1] >= 50 or evaluation.results[-1].catalog_size < 50


def test_an_arm_beside_is_ranked_as_it_was_trained(runs):
    alone = evaluate_run(runs[1]).results[-1]
    beside = next(result for result in evaluate_run(runs[0], beside=[runs[1]]).results if result.name == "no-reasoning")
    assert beside.ranks.tolist() == alone.ranks.tolist(), "with its own window, not the main run's"


def test_the_report_compares_with_the_arm_without_reasoning(runs):
    evaluate_run(runs[0], beside=[runs[1]])
    assert "against no-reasoning" in (runs[0] / "evaluation" / "report.html").read_text()


def test_validation_results_do_not_replace_test_results(runs):
    evaluate_run(runs[0])
    before = (runs[0] / "evaluation" / "metrics.json").read_bytes()
    evaluate_run(runs[0], split="valid")
    assert (runs[0] / "evaluation" / "metrics.json").read_bytes() == before
    assert (runs[0] / "evaluation-valid" / "report.html").exists()


def test_runs_that_may_recommend_different_items_are_not_compared(runs, tmp_path):
    data = dataset(tmp_path / "data")
    other = trained(tmp_path, data, head={"exclude_seen": False})
    with pytest.raises(CheckpointError, match="exclude_seen"):
        evaluate_run(other, beside=[runs[1]])


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_popularity_may_recommend_what_the_run_may(tmp_path, exclude_seen):
    data = dataset(tmp_path / "data")
    run = trained(tmp_path, data, "no-reasoning", head={"exclude_seen": exclude_seen})
    popularity = evaluate_run(run).results[0]
    examples = data.examples("test")
    repeated = [
        bool(set(row.tolist()) & set(examples.seen(place).tolist())) for place, row in enumerate(popularity.recommended)
    ]
    assert any(repeated) != exclude_seen
