"""The benchmarks run: every side, every column, at tiny sizes. Their timings are never judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def run(script: str, out: Path, *options: str) -> tuple[dict, str]:
    """The result and the printed text of `benchmarks/SCRIPT --quick`."""
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), "--quick", "--json", str(out), *options],
        env=os.environ | {"PYTHONPATH": path}, cwd=out.parent, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text()), done.stdout


def test_the_step_is_measured_on_all_three_sides(tmp_path):
    pytest.importorskip("trl")
    result, text = run("recpo_step.py", tmp_path / "step.json")
    assert set(result["sides"]) == {"reckon", "unshared", "trl"}
    assert set(result["ratios"]) == {"unshared", "trl"}
    for side in result["sides"].values():
        assert all(side[phase]["min"] <= side[phase]["median"] for phase in ("rollout", "update", "total"))
    assert "TRL GRPOTrainer / reckon: step" in text


def test_ranking_is_measured_and_both_sides_agree(tmp_path):
    result, text = run("evaluate.py", tmp_path / "evaluate.json")
    assert result["same_result_share"] == {"top_k": 1.0, "target_ranks": 1.0}
    assert "full score matrix" in text


def test_requests_are_measured_from_a_store_and_with_reasoning_on_the_spot(tmp_path):
    result, text = run("nearline.py", tmp_path / "nearline.json")
    assert {side: numbers["requests"] for side, numbers in result["sides"].items()} == {"nearline": 50, "online": 2}
    for numbers in result["sides"].values():
        assert 0 < numbers["p50_ms"] <= numbers["p99_ms"] <= numbers["max_ms"]
    assert "bytes a user" in text


def test_the_gpu_script_runs_without_a_gpu_and_says_so(tmp_path):
    result, text = run("gpu.py", tmp_path / "gpu.json", "--models", "0.5B", "--sides", "reckon")
    assert all(check["passed"] for check in result["correctness"])
    assert result["steps"]["0.5B"][0]["side"] == "reckon"
    if result["accelerator"] is None:
        assert "No accelerator is present" in text


def test_sasrec_is_measured_alone_where_there_is_no_peer(tmp_path):
    result, text = run("sasrec.py", tmp_path / "sasrec.json")
    assert set(result["means"]) == {"reckon"}
    assert [found["test_rows"] for found in result["cells"]] == [40]
    assert "hit@10" in text


@pytest.mark.parametrize("name", ["recpo_step", "evaluate", "nearline", "sasrec-movielens", "sasrec-instruments"])
def test_committed_results_name_hardware_and_versions_but_no_machine(name):
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    result = json.loads(text)
    assert result["hardware"] and result["date"] and result["versions"]["torch"]
    assert "/home" not in text and "/work" not in text and "/root" not in text
