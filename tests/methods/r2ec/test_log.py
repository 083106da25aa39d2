"""Training R2ec: logged metrics, validation, the kept state, and effects of settings."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file
from support.run_files import POLICY_KEYS, STEP_KEYS, assert_same_run, equal, log, steps, trajectories
from support.shelf import recommender, train

from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec import trainer as r2ec_trainer
from reckon.methods.r2ec.trainer import fit
from reckon.rl.objective import item_losses


def test_every_step_logs_reward_length_and_loss(whole):
    entries = [entry for entry in json.loads((whole(arm="full") / "log.json").read_text()) if "loss" in entry]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    for entry in entries:
        assert entry.keys() >= POLICY_KEYS
        assert all(math.isfinite(entry[name]) for name in POLICY_KEYS)
        assert 0 < entry["reward/mean"] < 1 and entry["reward/std"] > 0
        assert 0 <= entry["advantage/zero_groups"] <= 1 and 0 <= entry["reply/truncated"] <= 1
        assert 0 < entry["reply/length"] <= 5 and 0 < entry["entropy"] < math.log(320)
        assert entry["clip_share"] == 0, "one update per rollout: every ratio is 1"
        assert entry["logprob_gap"] < 1e-5
        assert entry["ratio/mean"] == pytest.approx(1, abs=1e-5)
        assert min(entry["time/rollout"], entry["time/reward"], entry["time/update"]) > 0


def test_the_no_reasoning_arm_logs_its_loss(whole):
    entries = steps(whole(arm="no-reasoning"))
    assert len(entries) == 6 and all(entry.keys() >= STEP_KEYS for entry in entries)


def test_validations_are_logged_from_the_start(whole):
    validations = [entry for entry in log(whole(arm="full")) if "eval_ndcg@10" in entry]
    assert [entry["step"] for entry in validations] == [0, 2, 4, 6]
    assert all(0 <= entry["eval_ndcg@10"] <= entry["eval_hit@10"] <= 1 for entry in validations)


def test_the_best_validated_model_is_kept(tmp_path):
    model = train(tmp_path, "run", learning_rate=1e-2)
    validations = {entry["step"]: entry["eval_ndcg@10"] for entry in log(tmp_path / "run") if "eval_ndcg@10" in entry}
    best = max((0, 2, 4, 6), key=lambda step: (validations[step], -step))
    kept = load_file(tmp_path / "run" / f"checkpoint-{best}" / "model.safetensors")
    assert equal(kept, load_file(tmp_path / "run" / "model" / "model.safetensors"))
    loaded = R2ec.from_pretrained(tmp_path / "run", device="cpu")
    [ours], [theirs] = loaded.recommend([[0, 1]]), model.recommend([[0, 1]])
    assert (ours.items, ours.reasoning) == (theirs.items, theirs.reasoning)
    assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


def test_every_trajectory_is_written_with_its_reward_and_rank(whole):
    table = trajectories(whole(arm="full"))
    assert len(table) == 6 * 16 * 3
    assert table["step"].to_pylist() == [step for step in range(6) for _ in range(48)]
    assert set(table["finish"].to_pylist()) <= {"marker", "end", "length"}
    logged = [entry["reward/mean"] for entry in steps(whole(arm="full"))]
    rewards = torch.tensor(table["reward"].to_pylist()).view(6, 48).mean(dim=1).tolist()
    assert logged == pytest.approx(rewards, rel=1e-5)


def first_step_rewards(path, arm):
    train(path, arm, arm=arm, max_steps=1)
    table = trajectories(path / arm)
    return table["reward"].to_pylist(), table["target_rank"].to_pylist()


def test_ablation_arms_change_only_the_reward(tmp_path):
    full, ranks = first_step_rewards(tmp_path, "full")
    similarity, similarity_ranks = first_step_rewards(tmp_path, "no-ranking-reward")
    ranking, ranking_ranks = first_step_rewards(tmp_path, "no-similarity-reward")
    assert ranks == similarity_ranks == ranking_ranks, "the same start, the same seed, the same replies"
    assert ranking == pytest.approx([1 / math.log2(1 + rank) for rank in ranks])
    assert full == pytest.approx([0.95 * d + 0.05 * c for d, c in zip(ranking, similarity, strict=True)])
    assert min(similarity) > 0 and max(similarity) < 1 and similarity != ranking


def test_a_run_depends_on_its_seed(tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path, out, seed=seed, max_steps=2)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert log(tmp_path / "a") != log(tmp_path / "c")


def test_the_reward_rises_on_a_predictable_shelf(tmp_path):
    train(tmp_path, "run", max_steps=40, eval_steps=40, learning_rate=5e-3)
    rewards = [entry["reward/mean"] for entry in steps(tmp_path / "run")]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1


def test_the_no_reasoning_arm_learns_a_predictable_shelf(tmp_path):
    train(tmp_path, "run", arm="no-reasoning", max_steps=40, eval_steps=20, learning_rate=3e-3)
    losses = [entry["loss"] for entry in steps(tmp_path / "run")]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_token_metrics_do_not_depend_on_the_micro_batch(tmp_path):
    logged = []
    for size in (1, 4):
        model, data = recommender(tmp_path / str(size), max_steps=1, eval_steps=1, batch_size=4, micro_batch_size=size)
        fit(model, data, tmp_path / f"run-{size}", progress=False)
        log = json.loads((tmp_path / f"run-{size}" / "log.json").read_text())
        logged.append(next(entry for entry in log if "entropy" in entry))
    for name in ("entropy", "logprob_gap", "clip_share", "reward/mean"):
        assert logged[0][name] == pytest.approx(logged[1][name], rel=1e-4, abs=1e-6)


def test_later_updates_of_a_rollout_compare_with_the_policy_that_sampled(tmp_path, monkeypatch):
    ratios = []

    def seen(logprobs, old, *rest):
        ratios.append(float((logprobs.detach() - old).abs().max()))
        return item_losses(logprobs, old, *rest)

    monkeypatch.setattr(r2ec_trainer, "item_losses", seen)
    train(tmp_path, "run", recpo={"updates_per_rollout": 3}, max_steps=2, eval_steps=2)
    assert len(ratios) == 6 and ratios[0] == ratios[3] == 0  # the first update of each of two rollouts
    assert min(ratios[1:3] + ratios[4:]) > 0
    for entry in steps(tmp_path / "run"):
        assert entry["logprob_gap"] < 1e-5 and entry["ratio/mean"] != pytest.approx(1, abs=1e-5)
