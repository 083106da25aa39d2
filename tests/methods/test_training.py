"""Training: what is logged, what stops a run, and that a run which was stopped goes on bit for bit."""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from shelf import backbone_folder, dataset, recommender, settings
from transformers import TrainerCallback

from reckon.errors import CheckpointError, ConfigError, ReckonError
from reckon.methods import r2ec_training
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec_training import RecPOTrainer, fit
from reckon.methods.run_directory import Interrupted
from reckon.rl.checkpoints import CheckpointedTrainer, last_checkpoint

ARMS = ("full", "no-reasoning")
STEP_KEYS = {"loss", "grad_norm", "learning_rate"}
POLICY_KEYS = STEP_KEYS | {
    "reward/mean",
    "reward/std",
    "advantage/zero_groups",
    "reply/length",
    "reply/truncated",
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


def train(path, out, *callbacks, resume=False, **changes):
    """Train a fresh recommender, the same start every time, into `path / out`."""
    changes = {"batch_size": 16, "micro_batch_size": 16} | changes  # 3 steps are an epoch
    torch.manual_seed(0)  # adapters start at random
    model, data = recommender(Path(tempfile.mkdtemp(dir=path)), **changes)
    fit(model, data, path / out, resume=resume, progress=False, callbacks=callbacks)
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run directories of runs that nothing stopped, one per settings."""
    made = {}

    def run(**changes):
        if (key := repr(changes)) not in made:
            path = tmp_path_factory.mktemp("whole")
            train(path, "run", **changes)
            made[key] = path / "run"
        return made[key]

    return run


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


def tensors(path):
    """Everything a run leaves behind that must not depend on how often it was stopped."""
    weights = {str(file.relative_to(path)): load_file(file) for file in sorted(path.rglob("*.safetensors"))}
    last = last_checkpoint(path)
    assert last is not None
    return weights, torch.load(last / "optimizer.pt"), torch.load(last / "scheduler.pt")


def trajectories(path):
    parts = [pq.read_table(part) for part in sorted((path / "trajectories").glob("part-*.parquet"))]
    return pa.concat_tables(parts) if parts else None


def equal(left, right):
    """Bitwise equality of nested containers of tensors."""
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def assert_same_run(left, right):
    assert log(left) == log(right)
    assert equal(tensors(left), tensors(right))
    first, second = trajectories(left), trajectories(right)
    assert (first is None and second is None) or first.equals(second)


# -- stop and go on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "changes"),
    [
        ("full", {}),
        ("no-reasoning", {}),
        ("full", {"lora": 2}),
        ("full", {"item_refresh_steps": 3, "head": {"sampled_negatives": 3}}),
    ],
    ids=["full", "no-reasoning", "lora", "refresh"],
)
@pytest.mark.parametrize(("step", "stop"), [(5, "kill"), (3, "ctrl-c")])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(arm, changes, step, stop, tmp_path, whole):
    with pytest.raises(Killed if stop == "kill" else Interrupted):
        train(tmp_path, "stopped", At(step, kill if stop == "kill" else interrupt), arm=arm, **changes)
    saved_at = 4 if stop == "kill" else step  # the last validation, or at once
    assert last_checkpoint(tmp_path / "stopped").name == f"checkpoint-{saved_at}"
    train(tmp_path, "stopped", resume=True, arm=arm, **changes)
    assert_same_run(whole(arm=arm, **changes), tmp_path / "stopped")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from reckon.data import Dataset
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec_training import fit
from shelf import settings

class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
data = Dataset.load(path / "data")
model = R2ec.from_backbone(path / "backbone", data, settings(batch_size=16, micro_batch_size=16))
fit(model, data, path / "run", progress=False, callbacks=[Kill()])
"""


def test_a_process_killed_by_the_system_goes_on_bit_for_bit(tmp_path, whole):
    data, folder = dataset(tmp_path / "data"), backbone_folder(tmp_path / "backbone")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], env=environment, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    model = R2ec.from_backbone(folder, data, settings(batch_size=16, micro_batch_size=16))
    fit(model, data, tmp_path / "run", resume=True, progress=False)
    assert_same_run(whole(arm="full"), tmp_path / "run")


def killed_while(moment, monkeypatch):
    """Arrange for the save at step 4 to die at some moment."""

    def dying(original):
        def run(self, *args, **kwargs):
            original(self, *args, **kwargs)
            if self.state.global_step == 4:
                raise Killed

        return run

    if moment == "weights":
        monkeypatch.setattr(CheckpointedTrainer, "save_model", dying(CheckpointedTrainer.save_model))
    elif moment == "item table":
        monkeypatch.setattr(RecPOTrainer, "save_extra", dying(RecPOTrainer.save_extra))
    elif moment == "rename":
        replace = os.replace

        def replace_or_die(source, target):
            if str(target).endswith("checkpoint-4"):
                raise Killed
            replace(source, target)

        monkeypatch.setattr(os, "replace", replace_or_die)


@pytest.mark.parametrize("moment", ["weights", "item table", "rename"])
def test_a_kill_during_a_save_leaves_the_previous_checkpoint(moment, tmp_path, whole):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_while(moment, patch)
        train(tmp_path, "killed")
    assert last_checkpoint(tmp_path / "killed").name == "checkpoint-2"
    train(tmp_path, "killed", resume=True)
    assert_same_run(whole(arm="full"), tmp_path / "killed")
    assert not (tmp_path / "killed" / ".saving").exists()


def test_patience_is_kept_over_a_stop(tmp_path):
    """A learning rate that changes nothing: validations at 2, 4, 6 are the same, so patience 2 ends at 6."""
    changes = dict(learning_rate=1e-12, patience=2, max_steps=12)
    train(tmp_path, "whole", **changes)
    assert steps(tmp_path / "whole")[-1]["step"] == 6
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(5, interrupt), **changes)
    train(tmp_path, "stopped", resume=True, **changes)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


def test_ctrl_c_belongs_to_python_again_after_a_run(tmp_path):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals need the main thread")
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="--resume"):
        train(tmp_path, "interrupted", At(1, interrupt), arm="no-reasoning")
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(Killed):
        train(tmp_path, "failed", At(1, kill), arm="no-reasoning")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    def twice(model):
        interrupt(model)
        interrupt(model)

    with pytest.raises(KeyboardInterrupt) as stopped:
        train(tmp_path, "run", At(1, twice), arm="no-reasoning")
    assert not isinstance(stopped.value, Interrupted)


def test_a_run_is_never_overwritten_and_nothing_is_resumed_from_nowhere(tmp_path):
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train(tmp_path, "run", resume=True, arm="no-reasoning")
    train(tmp_path, "run", arm="no-reasoning")
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(tmp_path, "run", arm="no-reasoning")


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="only 48 training rows"):
        train(tmp_path, "run", batch_size=64)


# -- what a step says ---------------------------------------------------------------------------------------------


def test_every_step_logs_what_a_person_needs_to_trust_it(whole):
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
        assert min(entry["time/rollout"], entry["time/reward"], entry["time/update"]) > 0


def test_the_item_arm_logs_its_loss(whole):
    entries = steps(whole(arm="no-reasoning"))
    assert len(entries) == 6 and all(entry.keys() >= STEP_KEYS for entry in entries)


def test_validations_are_logged_from_the_start(whole):
    validations = [entry for entry in log(whole(arm="full")) if "eval_ndcg@10" in entry]
    assert [entry["step"] for entry in validations] == [0, 2, 4, 6]
    assert all(0 <= entry["eval_ndcg@10"] <= entry["eval_hit@10"] <= 1 for entry in validations)


def test_the_best_validated_model_is_kept(tmp_path):
    model = train(tmp_path, "run", learning_rate=1e-2)
    validations = {entry["step"]: entry["eval_ndcg@10"] for entry in log(tmp_path / "run") if "eval_ndcg@10" in entry}
    best = max((2, 4, 6), key=lambda step: (validations[step], -step))
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


def test_the_ablation_arms_change_the_reward_and_nothing_before_it(tmp_path):
    full, ranks = first_step_rewards(tmp_path, "full")
    similarity, similarity_ranks = first_step_rewards(tmp_path, "no-ranking-reward")
    ranking, ranking_ranks = first_step_rewards(tmp_path, "no-similarity-reward")
    assert ranks == similarity_ranks == ranking_ranks, "the same start, the same seed, the same replies"
    assert ranking == pytest.approx([1 / math.log2(1 + rank) for rank in ranks])
    assert full == pytest.approx([0.95 * d + 0.05 * c for d, c in zip(ranking, similarity, strict=True)])
    assert min(similarity) > 0 and max(similarity) < 1 and similarity != ranking


def test_the_seed_decides_the_run(tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(tmp_path, out, seed=seed, max_steps=2)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert log(tmp_path / "a") != log(tmp_path / "c")


def test_the_reward_rises_on_a_shelf_where_the_last_book_tells_the_next(tmp_path):
    train(tmp_path, "run", max_steps=25, eval_steps=25, learning_rate=5e-3)
    rewards = [entry["reward/mean"] for entry in steps(tmp_path / "run")]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1


def test_the_item_arm_learns_the_shelf(tmp_path):
    train(tmp_path, "run", arm="no-reasoning", max_steps=40, eval_steps=20, learning_rate=3e-3)
    losses = [entry["loss"] for entry in steps(tmp_path / "run")]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


# -- divergence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("step", [1, 2], ids=["before a step", "before a validation"])
def test_weights_that_are_not_finite_stop_the_run_with_a_clear_error(arm, step, tmp_path):
    def spoil(model):
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    with pytest.raises(ReckonError, match="diverged"):
        train(tmp_path, "run", At(step, spoil), arm=arm)
    assert not (tmp_path / "run" / "r2ec.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(r2ec_training, "item_losses", lambda logprobs, *_: logprobs * torch.nan)
    with pytest.raises(ReckonError, match=r"step 0: the loss is nan.*learning_rate"):
        train(tmp_path, "run")


def test_a_reward_that_raises_stops_the_run(tmp_path, monkeypatch):
    def broken(*_):
        return lambda *_, **__: 1 / 0

    monkeypatch.setattr(r2ec_training, "fused_reward", broken)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, "run")


@pytest.mark.parametrize("other", ["data", "backbone"])
def test_a_run_is_not_resumed_with_other_data_or_another_backbone(other, tmp_path):
    model, data = recommender(tmp_path / "a", max_steps=2, eval_steps=1)
    fit(model, data, tmp_path / "run", progress=False)
    (tmp_path / "run" / "manifest.json").unlink()
    if other == "data":
        data = dataset(tmp_path / "b", users=18)
    else:
        model = R2ec.from_backbone(backbone_folder(tmp_path / "b", seed=5), data, model.config)
    with pytest.raises(CheckpointError, match=f"another {other}"):
        fit(model, data, tmp_path / "run", resume=True, progress=False)


def test_a_run_does_not_settle_in_a_folder_of_other_files(tmp_path):
    model, data = recommender(tmp_path)
    before = (data.path / "items.parquet").read_bytes()
    with pytest.raises(CheckpointError, match="not a run's"):
        fit(model, data, data.path, progress=False)
    assert (data.path / "items.parquet").read_bytes() == before


def test_bfloat16_weights_are_not_trained_whole():
    with pytest.raises(ConfigError, match="lose small updates"):
        settings(dtype="bfloat16")
    assert settings(dtype="bfloat16", lora=2).training.dtype == "bfloat16"


def test_what_is_logged_of_tokens_does_not_depend_on_the_micro_batch(tmp_path):
    logged = []
    for size in (1, 4):
        model, data = recommender(tmp_path / str(size), max_steps=1, eval_steps=1, batch_size=4, micro_batch_size=size)
        fit(model, data, tmp_path / f"run-{size}", progress=False)
        log = json.loads((tmp_path / f"run-{size}" / "log.json").read_text())
        logged.append(next(entry for entry in log if "entropy" in entry))
    for name in ("entropy", "logprob_gap", "clip_share", "reward/mean"):
        assert logged[0][name] == pytest.approx(logged[1][name], rel=1e-4, abs=1e-6)
