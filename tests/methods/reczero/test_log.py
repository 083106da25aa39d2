"""Training RecZero: logged metrics, validation, the kept state, and stored trajectories."""

import json
import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from support import rated_shelf
from support.rated_runs import GROUP, STEPS, settings, validations
from support.rated_shelf import reply
from support.run_files import POLICY_KEYS, equal, steps, trajectories
from support.stopping import At

from reckon.data.ratings import rating_examples
from reckon.demo.live import join_trajectories
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.trainer import fit

KEYS = POLICY_KEYS | {"reply/parsed", "prompt/dropped_reviews", "prompt/cut_texts"}


def test_every_step_logs_reward_length_and_loss(whole):
    entries = [entry for entry in json.loads((whole() / "log.json").read_text()) if "loss" in entry]
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    for entry in entries:
        assert entry.keys() >= KEYS and "kl" not in entry
        assert all(math.isfinite(entry[name]) for name in KEYS)
        assert -1 <= entry["reward/mean"] <= 2 and entry["reward/std"] > 0
        assert 0 < entry["reply/parsed"] <= 1
        assert 0 <= entry["advantage/zero_groups"] <= 1 and 0 <= entry["reply/truncated"] <= 1
        assert 0 < entry["reply/length"] <= 6 and entry["entropy"] > 0
        assert entry["clip_share"] == 0, "one update per rollout: every ratio is 1"
        assert entry["logprob_gap"] < 1e-4
        assert entry["prompt/dropped_reviews"] == entry["prompt/cut_texts"] == 0


@pytest.mark.parametrize(("finish", "truncated"), [("end of turn", 0), ("out of budget", 1)])
def test_truncated_counts_replies_out_of_budget_in_training_and_validation(finish, truncated, data, folders, tmp_path):
    model = RecZero.from_backbone(folders[0], data, settings(max_steps=1, eval_steps=1))
    written = model.backbone.tokenizer.eos_token_id if finish == "end of turn" else 17
    logits = model.backbone.logits
    only = torch.zeros(model.backbone.config.vocab_size).index_fill(0, torch.tensor(written), 1e4)
    model.backbone.logits = lambda hidden: logits(hidden) + only
    fit(model, data, tmp_path / "run", progress=False)
    [step] = steps(tmp_path / "run")
    assert (step["reply/truncated"], step["reply/parsed"]) == (truncated, 0)
    for entry in validations(tmp_path / "run").values():
        assert (entry["eval_reply/truncated"], entry["eval_parse_rate"]) == (truncated, 0)


def test_the_kl_term_is_logged_if_beta_is_positive(whole):
    entries = steps(whole(grpo={"beta": 0.1}))
    assert all(math.isfinite(entry["kl"]) and entry["kl"] > -1e-6 for entry in entries)


def test_cuts_of_prompts_are_logged(train, tmp_path):
    train("run", max_steps=1, prompt={"max_tokens": 70})
    [entry] = steps(tmp_path / "run")
    assert entry["prompt/dropped_reviews"] > 0
    train("words", max_steps=1, prompt={"max_tokens": 100})
    assert steps(tmp_path / "words")[0]["prompt/cut_texts"] > 0


def test_validations_log_the_errors_of_greedy_replies(whole):
    found = validations(whole())
    assert list(found) == [0, 2, 4, 6]
    for entry in found.values():
        assert 0 <= entry["eval_mae"] <= entry["eval_rmse"] <= 4
        assert 0 <= entry["eval_parse_rate"] <= 1


def test_the_model_with_the_lowest_validated_error_is_kept(train, tmp_path, monkeypatch):
    told = iter([1, 1, 3, 1])  # for every row, at steps 0, 2, 4, 6
    monkeypatch.setattr(RecZero, "rate", lambda _, rows, **__: rated_shelf.rated([reply(next(told))] * len(rows)))
    train("run")
    found = {step: entry["eval_mae"] for step, entry in validations(tmp_path / "run").items()}
    assert found[4] < found[0] == found[2] == found[6]
    kept = load_file(tmp_path / "run" / "checkpoint-4" / "model.safetensors")
    assert equal(kept, load_file(tmp_path / "run" / "model" / "model.safetensors"))
    assert not equal(kept, load_file(tmp_path / "run" / "checkpoint-6" / "model.safetensors"))


def test_the_validated_error_is_that_of_the_model_that_is_kept(train, data, tmp_path):
    model = train("run", fluency=15)
    best = min(entry["eval_mae"] for entry in validations(tmp_path / "run").values())
    sample = rating_examples(data, "valid", 3, 3).sample(8, 0)
    for kept in (model, RecZero.from_pretrained(tmp_path / "run", device="cpu")):
        predicted, truth = kept.predict(sample), sample.ratings
        worst = np.maximum(truth - 1, 5 - truth)
        errors = np.where(np.isnan(predicted), worst, np.abs(predicted - truth))
        assert errors.mean() == pytest.approx(best)


def test_a_validation_of_unparseable_replies_has_the_largest_error(train, data, tmp_path):
    train("run", fluency=0, max_steps=1)
    truth = rating_examples(data, "valid").sample(8, 0).ratings
    first = validations(tmp_path / "run")[0]
    assert first["eval_parse_rate"] == 0
    assert first["eval_mae"] == pytest.approx(np.maximum(truth - 1, 5 - truth).mean())


def test_the_manifest_names_method_arm_seed_and_data(train, data, tmp_path):
    train("run", arm="no-format", seed=2, max_steps=1)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert [manifest[name] for name in ("method", "arm", "seed")] == ["reczero", "no-format", 2]
    assert manifest["data"]["checksum"] == data.checksum


# -- trajectories -------------------------------------------------------------------------------------------------


def test_every_trajectory_is_written_with_its_reply_and_reward(whole, data):
    table = trajectories(whole())
    columns = {"user_id", "item_id", "rating", "reply", "predicted", "problem", "reward", "reply_length", "finish"}
    assert set(table.column_names) == columns | {"step"}
    assert table["step"].to_pylist() == [step for step in range(STEPS) for _ in range(8 * GROUP)]
    train_rows = rating_examples(data, "train")
    events = {
        (user, data.catalog.ids[item], rating)
        for user, item, rating in zip(train_rows.user_ids, train_rows.item_indices, train_rows.ratings, strict=True)
    }
    for row in table.to_pylist():
        assert (row["user_id"], row["item_id"], row["rating"]) in events, "training rows alone"
        if row["problem"]:
            assert math.isnan(row["predicted"]) and row["reward"] == -1
        else:
            assert row["reply"].endswith(f"<rate>{row['predicted']:g}</rate>")
            assert row["reward"] == 2 - abs(row["predicted"] - row["rating"]) / 2
    logged = [entry["reward/mean"] for entry in steps(whole())]
    assert logged == pytest.approx(np.array(table["reward"]).reshape(STEPS, -1).mean(axis=1), rel=1e-5, abs=1e-6)
    parsed = np.array([not problem for problem in table["problem"].to_pylist()]).reshape(STEPS, -1).mean(axis=1)
    assert [entry["reply/parsed"] for entry in steps(whole())] == pytest.approx(parsed)


def test_trajectory_files_of_parsed_and_unparsed_replies_can_be_joined(train, tmp_path, monkeypatch):
    """A column without a value would have no type, and Parquet would not put the parts together."""
    texts = iter(["nothing", reply(4)])
    say = {}

    def replies(self, rollouts):
        text = say.setdefault("text", next(texts)) if len(rollouts) == 8 * GROUP else "not a training batch"
        return [text] * len(rollouts)

    def next_text(_):
        say.clear()

    monkeypatch.setattr(RecZero, "replies", replies)
    train("run", At(1, next_text), max_steps=2, eval_steps=1)
    join_trajectories(tmp_path / "run" / "trajectories", tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table["problem"].to_pylist() == ["missing analyze user"] * 24 + [""] * 24
    assert [math.isnan(value) for value in table["predicted"].to_pylist()] == [True] * 24 + [False] * 24
