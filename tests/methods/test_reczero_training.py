"""Training RecZero: what is logged, that a stopped run goes on bit for bit, and what each setting changes."""

import json
import math
import os
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rated_shelf
import rated_talker
import shelf
import torch
from rated_shelf import reply
from safetensors.torch import load_file
from transformers import TrainerCallback

from reckon.config import save_config
from reckon.data.ratings import rating_examples
from reckon.demo.live import join_trajectories
from reckon.errors import CheckpointError, ConfigError, DataError, ReckonError
from reckon.methods import reczero_training
from reckon.methods.reczero import RecZero
from reckon.methods.reczero_config import preset
from reckon.methods.reczero_training import fit, train_run
from reckon.methods.run_directory import Interrupted
from reckon.methods.training import run_config
from reckon.models.backbone import LoraSettings
from reckon.rl.checkpoints import last_checkpoint

STEPS, GROUP = 6, 3
KEYS = {
    "loss",
    "grad_norm",
    "learning_rate",
    "reward/mean",
    "reward/std",
    "advantage/zero_groups",
    "reply/length",
    "reply/truncated",
    "reply/parsed",
    "prompt/dropped_reviews",
    "prompt/cut_texts",
    "entropy",
    "clip_share",
    "logprob_gap",
    "time/rollout",
    "time/reward",
    "time/update",
}


class At(TrainerCallback):
    """Do something while one step is being taken: its gradients are there, its update is not."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        if state.global_step + 1 == self.step:
            self.action(model)


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def kill(_):
    raise Killed


def interrupt(_):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rated_shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Backbones by how often their replies have the form."""
    path = tmp_path_factory.mktemp("backbones")
    return {fluency: rated_talker.backbone_folder(path / str(fluency), fluency=fluency) for fluency in (0, 15, 40)}


@pytest.fixture
def train(data, folders, tmp_path):
    """Train a fresh predictor, the same start every time, into `tmp_path / out`."""

    def run(out, *callbacks, resume=False, fluency=40, path=tmp_path, **changes):
        model = RecZero.from_backbone(folders[fluency], data, settings(**changes))
        fit(model, data, path / out, resume=resume, progress=False, callbacks=callbacks)
        return model

    return run


def settings(arm="full", seed=0, grpo=None, lora=0, prompt=None, **training):
    base = rated_shelf.settings(arm, seed, **{"max_steps": STEPS, "eval_steps": 2, "batch_size": 8} | training)
    torch.manual_seed(0)  # adapters start at random
    return replace(
        base,
        lora=LoraSettings(r=lora),
        grpo=replace(base.grpo, **(grpo or {})),
        prompt=replace(base.prompt, **(prompt or {})),
    )


WHOLE = {}


@pytest.fixture
def whole(train):
    """Run directories of runs that nothing stopped, one per settings."""

    def run(**changes):
        if (key := repr(changes)) not in WHOLE:
            WHOLE[key] = Path(tempfile.mkdtemp()) / "run"
            train("run", path=WHOLE[key].parent, **changes)
        return WHOLE[key]

    return run


@pytest.fixture(scope="module", autouse=True)
def no_remains():
    yield
    for run in WHOLE.values():
        shutil.rmtree(run.parent)
    WHOLE.clear()


def log(path):
    """Logged entries without the run's summary and without times."""
    entries = json.loads((path / "log.json").read_text())
    return [
        {name: value for name, value in entry.items() if not name.startswith("time/")}
        for entry in entries
        if "train_runtime" not in entry
    ]


def steps(path):
    return [entry for entry in log(path) if "loss" in entry]


def validations(path):
    return {entry["step"]: entry for entry in log(path) if "eval_mae" in entry}


def trajectories(path):
    return pa.concat_tables(pq.read_table(part) for part in sorted((path / "trajectories").glob("part-*.parquet")))


def equal(left, right):
    """Bitwise equality of nested containers of tensors."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def tensors(path):
    """Everything a run leaves behind that must not depend on how often it was stopped."""
    weights = {str(file.relative_to(path)): load_file(file) for file in sorted(path.rglob("*.safetensors"))}
    last = last_checkpoint(path)
    assert last is not None and weights
    return weights, torch.load(last / "optimizer.pt"), torch.load(last / "scheduler.pt")


def rows(path):
    """Trajectories as lists: a NaN equals a NaN."""
    return {name: [repr(value) for value in column] for name, column in trajectories(path).to_pydict().items()}


def assert_same_run(left, right):
    assert log(left) == log(right)
    assert equal(tensors(left), tensors(right))
    assert rows(left) == rows(right), "the order of the rows, their replies and their rewards"


# -- stop and go on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"grpo": {"beta": 0.1}}, {"grpo": {"beta": 0.1}, "lora": 2, "learning_rate": 3e-2}],
    ids=["no kl", "kl", "kl with adapters"],
)
@pytest.mark.parametrize(("step", "stop"), [(5, "kill"), (3, "ctrl-c")])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(changes, step, stop, train, whole, tmp_path):
    with pytest.raises(Killed if stop == "kill" else Interrupted):
        train("stopped", At(step, kill if stop == "kill" else interrupt), **changes)
    saved_at = 4 if stop == "kill" else step  # the last validation, or at once
    assert last_checkpoint(tmp_path / "stopped").name == f"checkpoint-{saved_at}"
    train("stopped", resume=True, **changes)
    assert_same_run(whole(**changes), tmp_path / "stopped")


def test_the_reference_is_the_starting_policy_also_after_a_resume(whole, train, tmp_path):
    """The KL term starts at zero and grows; a reference taken from the checkpoint would have it start again."""
    entries = steps(whole(grpo={"beta": 0.1}))
    assert entries[0]["kl"] == pytest.approx(0, abs=1e-6) and entries[4]["kl"] > 0.01
    with pytest.raises(Killed):
        train("stopped", At(5, kill), grpo={"beta": 0.1})
    train("stopped", resume=True, grpo={"beta": 0.1})
    assert steps(tmp_path / "stopped")[4]["kl"] == entries[4]["kl"]


def test_a_run_is_never_overwritten_and_nothing_is_resumed_from_nowhere(train):
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train("run", resume=True)
    train("run", max_steps=2)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train("run")


def test_a_resumed_run_keeps_the_settings_it_began_with(tmp_path):
    began = settings(arm="exact-answer", seed=3)
    save_config(began, tmp_path / "config.yaml")
    sources = (preset("paper"), tmp_path / "config.yaml", None)
    assert run_config(*sources, (), resume=True, seed=None) == began
    longer = run_config(*sources, ("training.max_steps=9",), resume=True, seed=None)
    assert longer == replace(began, training=replace(began.training, max_steps=9))
    assert run_config(*sources, ("seed=2",), resume=True, seed=4) == replace(began, seed=4)
    assert run_config(*sources, (), resume=False, seed=4) == replace(preset("paper"), seed=4)


# -- what a step says ---------------------------------------------------------------------------------------------


def test_every_step_logs_what_a_person_needs_to_trust_it(whole):
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
def test_truncated_means_out_of_budget_in_training_and_validation(finish, truncated, data, folders, tmp_path):
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


def test_the_kl_term_is_logged_where_it_counts(whole):
    entries = steps(whole(grpo={"beta": 0.1}))
    assert all(math.isfinite(entry["kl"]) and entry["kl"] > -1e-6 for entry in entries)


def test_what_a_prompt_lost_to_its_budget_is_logged(train, tmp_path):
    train("run", max_steps=1, prompt={"max_tokens": 70})
    [entry] = steps(tmp_path / "run")
    assert entry["prompt/dropped_reviews"] > 0
    train("words", max_steps=1, prompt={"max_tokens": 100})
    assert steps(tmp_path / "words")[0]["prompt/cut_texts"] > 0


def test_validations_say_how_far_off_the_most_likely_replies_are(whole):
    found = validations(whole())
    assert list(found) == [0, 2, 4, 6]
    for entry in found.values():
        assert 0 <= entry["eval_mae"] <= entry["eval_rmse"] <= 4
        assert 0 <= entry["eval_parse_rate"] <= 1


def test_the_model_with_the_lowest_validated_error_is_kept(train, tmp_path, monkeypatch):
    told = iter([3, 1, 3, 1])  # for every row, at steps 0, 2, 4, 6
    monkeypatch.setattr(RecZero, "rate", lambda _, rows, **__: rated_shelf.rated([reply(next(told))] * len(rows)))
    train("run")
    found = {step: entry["eval_mae"] for step, entry in validations(tmp_path / "run").items()}
    assert found[0] == found[4] < found[2] == found[6], "step 0 is not kept: nothing was learned"
    kept = load_file(tmp_path / "run" / "checkpoint-4" / "model.safetensors")
    assert equal(kept, load_file(tmp_path / "run" / "model" / "model.safetensors"))
    assert not equal(kept, load_file(tmp_path / "run" / "checkpoint-6" / "model.safetensors"))


def test_the_validated_error_is_that_of_the_model_that_is_kept(train, data, tmp_path):
    model = train("run", fluency=15)
    best = min(entry["eval_mae"] for step, entry in validations(tmp_path / "run").items() if step > 0)
    sample = rating_examples(data, "valid", 3, 3).sample(8, 0)
    for kept in (model, RecZero.from_pretrained(tmp_path / "run", device="cpu")):
        predicted, truth = kept.predict(sample), sample.ratings
        worst = np.maximum(truth - 1, 5 - truth)
        errors = np.where(np.isnan(predicted), worst, np.abs(predicted - truth))
        assert errors.mean() == pytest.approx(best)


def test_a_validation_without_the_form_is_the_worst_error(train, data, tmp_path):
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


def test_parts_in_which_nothing_and_everything_parses_join(train, tmp_path, monkeypatch):
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


# -- what settings change -----------------------------------------------------------------------------------------


def test_the_ablation_arms_change_the_reward_and_nothing_before_it(train, tmp_path):
    tables = {}
    for arm in ("full", "exact-answer", "no-format"):
        train(arm, arm=arm, max_steps=1)
        tables[arm] = trajectories(tmp_path / arm)
    replies = [table["reply"].to_pylist() for table in tables.values()]
    assert replies[0] == replies[1] == replies[2], "the same start, the same seed, the same replies"
    rewards = {arm: np.array(table["reward"]) for arm, table in tables.items()}
    predicted, truth = (np.array(tables["full"][name]) for name in ("predicted", "rating"))
    known = ~np.isnan(predicted)
    graded = 1 - np.abs(predicted - truth) / 2
    assert known.any() and not known.all() and (predicted == truth).any()
    assert np.array_equal(rewards["full"], np.where(known, 1 + graded, -1))
    assert np.array_equal(rewards["exact-answer"], np.where(known, 1.0 + (predicted == truth), -1))
    assert np.array_equal(rewards["no-format"], np.where(known, graded, 0))


def test_the_loss_type_reaches_the_loss(train, tmp_path):
    norms = {}
    for loss_type in ("grpo", "dr_grpo", "dapo", "bnpo"):
        train(loss_type, grpo={"loss_type": loss_type}, max_steps=1)
        [entry] = steps(tmp_path / loss_type)
        norms[loss_type] = entry["grad_norm"]
    assert norms["dapo"] == pytest.approx(norms["bnpo"]), "one process, one batch per update: the same"
    assert len({f"{norms[name]:.3g}" for name in ("grpo", "dr_grpo", "dapo")}) == 3


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_micro_batch_size_changes_nothing_but_memory(loss_type, train, tmp_path):
    norms = []
    for size in (8, 4):
        train(str(size), grpo={"loss_type": loss_type}, micro_batch_size=size, max_steps=1)
        [entry] = steps(tmp_path / str(size))
        norms.append(entry["grad_norm"])
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_the_kl_term_holds_the_policy_back(whole):
    free, held = steps(whole()), steps(whole(grpo={"beta": 0.1}))
    assert rows(whole())["reply"][: 8 * GROUP] == rows(whole(grpo={"beta": 0.1}))["reply"][: 8 * GROUP]
    assert free[0]["grad_norm"] == pytest.approx(held[0]["grad_norm"], rel=1e-3), "no divergence yet, no gradient"
    assert free[1:] != held[1:]


def test_the_seed_decides_the_run(train, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(out, seed=seed, max_steps=2)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert log(tmp_path / "a") != log(tmp_path / "c")


def test_the_reward_rises_where_the_right_reply_is_in_reach(train, data, tmp_path):
    model = train("run", fluency=15, max_steps=30, eval_steps=30, batch_size=16, grpo={"num_generations": 8})
    entries, found = steps(tmp_path / "run"), validations(tmp_path / "run")
    first, last = (np.mean([entry["reward/mean"] for entry in part]) for part in (entries[:5], entries[-5:]))
    assert first < 0 and last > first + 1
    assert entries[-1]["reply/parsed"] > 0.9 and found[30]["eval_parse_rate"] == 1
    assert found[30]["eval_mae"] <= found[0]["eval_mae"]
    assert model.rate(rating_examples(data, "test", 3, 3)).reply_parse_rate > 0.9


# -- what is refused ----------------------------------------------------------------------------------------------


def test_a_batch_larger_than_the_data_is_refused(train):
    with pytest.raises(ConfigError, match="only 48 training rows"):
        train("run", batch_size=64, micro_batch_size=64)


def test_data_without_ratings_is_refused_in_one_line(folders, tmp_path):
    shelf.dataset(tmp_path / "data")
    with pytest.raises(DataError, match="rating") as error:
        train_run(data=tmp_path / "data", backbone=folders[0], out=tmp_path / "run", preset="small")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", [1, 2], ids=["before a step", "before a validation"])
def test_weights_that_are_not_finite_stop_the_run_with_a_clear_error(step, train, tmp_path):
    def spoil(model):
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    with pytest.raises(ReckonError, match="diverged"):
        train("run", At(step, spoil))
    assert not (tmp_path / "run" / "reczero.json").exists()


def test_a_reward_that_raises_stops_the_run(train, monkeypatch):
    monkeypatch.setattr(reczero_training, "rating_reward", lambda *_, **__: lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train("run")
