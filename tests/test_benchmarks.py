"""The benchmarks run: every side, every column, at tiny sizes. Their timings are never judged here."""

import importlib
import json
from pathlib import Path

import pytest
from support import rated_shelf, shelf
from support.benchmark_sides import in_this_process

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
GPU_PARTS = ("correctness", "ceilings", "step", "decode", "ranking", "compiled")
TINY = dict(vocab=5, width=2, intermediate=4, layers=1, heads=1, kv_heads=1)  # of a model, to count by hand


@pytest.fixture
def benchmark_run(monkeypatch, tmp_path, capsys):
    yield from in_this_process(monkeypatch, tmp_path, capsys)


@pytest.fixture
def gpu_roofline(monkeypatch):
    """benchmarks/gpu_roofline.py, whose counts can be worked out by hand."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("gpu_roofline")


def test_the_step_is_measured_on_all_three_sides(benchmark_run):
    pytest.importorskip("trl")
    result, text = benchmark_run("recpo_step")
    assert set(result["sides"]) == {"reckon", "unshared", "trl"}
    assert set(result["ratios"]) == {"unshared", "trl"}
    for side in result["sides"].values():
        assert all(side[phase]["min"] <= side[phase]["median"] for phase in ("rollout", "update", "total"))
    assert "TRL GRPOTrainer / reckon: step" in text


def test_ranking_is_measured_and_both_sides_agree(benchmark_run):
    result, text = benchmark_run("evaluate")
    assert result["same_result_share"] == {"top_k": 1.0, "target_ranks": 1.0}
    assert "full score matrix" in text


def test_requests_are_measured_from_a_store_and_with_reasoning_on_the_spot(benchmark_run):
    result, text = benchmark_run("nearline")
    assert {side: numbers["requests"] for side, numbers in result["sides"].items()} == {"nearline": 50, "online": 2}
    for numbers in result["sides"].values():
        assert 0 < numbers["p50_ms"] <= numbers["p99_ms"] <= numbers["max_ms"]
    assert "bytes a user" in text


@pytest.mark.parametrize("method", ["r2ec", "rporec", "reczero"])
def test_prompts_are_measured_with_greedy_and_sampled_replies(method, benchmark_run, tmp_path):
    data = (rated_shelf if method == "reczero" else shelf).dataset(tmp_path / "data").path
    folders = ("--backbone", str(shelf.backbone_folder(tmp_path / "backbone")), "--data", str(data))
    settings = ("--set", "prompt.style=compact", "--set", "prompt.max_tokens=200")
    result, text = benchmark_run("prompts", *folders, "--method", method, *settings)
    assert (result["rows"], result["budget"]) == (4, 8)
    for found in result["replies"].values():
        shares = found["rates"]
        assert shares["marker"] + shares["turn"] + shares["cut"] == pytest.approx(1)
        assert (shares["parsed"] is None) == (method == "r2ec")
        assert len(found["examples"]) == 3
    assert "greedy" in text and "sampled, temperature" in text


def test_rates_of_replies_are_shares_of_all_replies(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    rates = importlib.import_module("prompts").rates
    texts = ["She likes calm seas.", "She likes calm seas.", "He likes crime, and", "It ends. No"]
    found = rates(texts, ("end", "marker", "length", "end"), [5, 5, 8, 2], ["", "order", "order", "order"])
    assert found == {
        "marker": 0.25, "turn": 0.5, "cut": 0.25, "tokens": 5,
        "whole": 0.5, "distinct": 0.75, "openings": 0.75, "parsed": 0.25,
    }  # fmt: skip


def test_the_gpu_script_measures_every_part_without_a_gpu_and_says_so(benchmark_run):
    result, text = benchmark_run("gpu", "--models", "135M", "--sides", "reckon", "unshared")
    parts = result["parts"]
    assert {name.split()[0] for name in parts} == {*GPU_PARTS}
    assert {part["status"] for part in parts.values()} == {"done"}
    assert all(part["passed"] for name, part in parts.items() if name.startswith("correctness"))
    step = parts["step 135M"]
    assert set(step["sides"]) == {"reckon", "unshared"} and set(step["ratios"]) == {"unshared"}
    for side in step["sides"].values():
        assert all(side["seconds"][phase]["min"] <= side["seconds"][phase]["median"] for phase in side["share"])
    for side in parts["decode 135M x1"]["sides"].values():
        assert side["tokens_per_second"] > 0
    assert str(Path.cwd()) not in json.dumps(result)
    if result["accelerator"] is None:
        assert "No accelerator is present" in text


def test_the_gpu_script_trains_and_evaluates_both_arms(benchmark_run, tmp_path):
    data, backbone = tmp_path / "data", shelf.backbone_folder(tmp_path / "backbone")
    shelf.dataset(data)
    where = ["--backbone", str(backbone), "--data", str(data), "--out", str(tmp_path / "runs")]
    result, text = benchmark_run("gpu", "--parts", "training", "--budget", "900", *where)
    training = result["parts"]["training"]
    assert training["status"] == "done", training
    assert {arm: one["curve"][0]["step"] for arm, one in training["arms"].items()} == {"no-reasoning": 0, "full": 0}
    assert all(one["updates"] >= 1 for one in training["arms"].values())
    assert {"popularity", "no-reasoning", "r2ec"} <= {row["name"] for row in training["metrics"]["rows"]}
    assert "test rows" in text and str(tmp_path) not in json.dumps(result)


def test_the_gpu_script_skips_what_does_not_fit_into_its_budget_and_says_so(benchmark_run):
    result, text = benchmark_run("gpu", "--sides", "reckon", "--budget", "0")
    assert {name.split()[0] for name in result["parts"]} == {*GPU_PARTS}
    assert {part["status"] for part in result["parts"].values()} == {"skipped: budget"}
    assert "step 3B: skipped: budget" in text


def test_a_step_with_a_shared_prefix_needs_fewer_operations_by_the_prompts_it_does_not_repeat(gpu_roofline):
    sizes = TINY | dict(prompts=1, group=2, prompt_tokens=3, reply_tokens=1, lora_rank=0)
    weights = 4 * 2 * 2 + 3 * 2 * 4  # four square maps and three of the feed-forward part
    head = 3 * 2 * 5 * 2 * 2  # forward, gradients of inputs and of weights; vocabulary x width x two tokens
    # 3 prompt tokens and 2 replies of 2 (the marker is one); 6 pairs in the prompt, 2 x (2 x 3 + 3) in the replies.
    assert gpu_roofline.update_flops(sizes, shared=True) == 3 * 2 * weights * 7 + head + 3 * 4 * 2 * (6 + 18)
    # 2 sequences of 4 tokens with 10 pairs each.
    assert gpu_roofline.update_flops(sizes, shared=False) == 3 * 2 * weights * 8 + head + 3 * 4 * 2 * 20


def test_decoding_reads_all_weights_a_step_and_a_shared_prompt_once(gpu_roofline):
    sizes = TINY | dict(prompts=1, group=4, prompt_tokens=10, reply_tokens=3, dtype="bfloat16")
    weights, per_token = 4 * 2 * 2 + 3 * 2 * 4 + 5 * 2, 2 * 2  # a key and a value of width 2
    own = 4 * (1 + 2)  # positions of four replies at two steps
    assert gpu_roofline.decode_bytes(sizes, shared=True) == 2 * (2 * weights + per_token * (2 * 10 + own))
    assert gpu_roofline.decode_bytes(sizes, shared=False) == 2 * (2 * weights + per_token * (2 * 40 + own))


def test_sasrec_is_measured_alone_where_there_is_no_peer(benchmark_run):
    result, text = benchmark_run("sasrec")
    assert set(result["means"]) == {"reckon"}
    assert [found["test_rows"] for found in result["cells"]] == [40]
    assert "hit@10" in text


@pytest.mark.parametrize("name", ["recpo_step", "evaluate", "nearline", "sasrec-movielens", "sasrec-instruments"])
def test_committed_results_name_hardware_and_versions_but_no_machine(name):
    text = (RESULTS / f"{name}.json").read_text(encoding="utf-8")
    result = json.loads(text)
    assert result["hardware"] and result["date"] and result["versions"]["torch"]
    assert "/home" not in text and "/work" not in text and "/root" not in text
