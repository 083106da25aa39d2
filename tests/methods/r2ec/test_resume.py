"""Training R2ec: a stopped run resumes bit for bit, and the signal handler is restored."""

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from support.run_files import assert_same_run, steps
from support.shelf import backbone_folder, dataset, recommender, settings, train
from support.stopping import At, Killed, interrupt, kill, run_until_killed

from reckon.errors import CheckpointError
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import ItemTrainer, fit
from reckon.training.checkpoints import CheckpointedTrainer, Interrupted, last_checkpoint

VARIANTS = {
    "full": dict(arm="full"),
    "no-reasoning": dict(arm="no-reasoning"),
    "lora": dict(arm="full", lora=2),
    "bfloat16": dict(arm="full", lora=2, dtype="bfloat16"),
    "refresh": dict(arm="full", item_refresh_steps=3, head={"sampled_negatives": 3}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_killed_run_resumes_bit_for_bit_from_its_last_validation(variant, tmp_path, whole):
    changes = VARIANTS[variant]
    with pytest.raises(Killed):
        train(tmp_path, "stopped", At(5, kill), **changes)
    assert last_checkpoint(tmp_path / "stopped").name == "checkpoint-4"
    train(tmp_path, "stopped", resume=True, **changes)
    assert_same_run(whole(**changes), tmp_path / "stopped")


@pytest.mark.parametrize("variant", ["lora", "refresh"])  # adapters and rows that are not encoded anew are all to store
def test_an_interrupted_run_resumes_bit_for_bit_from_where_it_was(variant, tmp_path, whole):
    changes = VARIANTS[variant]
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(3, interrupt), **changes)
    assert last_checkpoint(tmp_path / "stopped").name == "checkpoint-3"
    train(tmp_path, "stopped", resume=True, **changes)
    assert_same_run(whole(**changes), tmp_path / "stopped")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from transformers import TrainerCallback
from reckon.data import Dataset
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.trainer import fit
from support.shelf import settings

class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
data = Dataset.load(path / "data")
model = R2ec.from_backbone(path / "backbone", data, settings(batch_size=16, micro_batch_size=16))
fit(model, data, path / "run", progress=False, callbacks=[Kill()])
"""


def test_a_killed_process_resumes_bit_for_bit(tmp_path, whole):
    data, folder = dataset(tmp_path / "data"), backbone_folder(tmp_path / "backbone")
    run_until_killed(SCRIPT, tmp_path)
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
        monkeypatch.setattr(ItemTrainer, "save_extra", dying(ItemTrainer.save_extra))
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
        train(tmp_path, "killed", arm="no-reasoning")
    assert last_checkpoint(tmp_path / "killed").name == "checkpoint-2"
    train(tmp_path, "killed", resume=True, arm="no-reasoning")
    assert_same_run(whole(arm="no-reasoning"), tmp_path / "killed")
    assert not (tmp_path / "killed" / ".saving").exists()


def test_patience_is_restored_by_a_resume(tmp_path):
    """A learning rate that changes nothing: validations at 0, 2, 4, 6 are the same, so patience ends it at 6."""
    changes = dict(learning_rate=1e-12, patience_steps=6, max_steps=12, arm="no-reasoning")
    train(tmp_path, "whole", **changes)
    assert steps(tmp_path / "whole")[-1]["step"] == 6
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(5, interrupt), **changes)
    train(tmp_path, "stopped", resume=True, **changes)
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("arm", ["full", "no-reasoning"])
def test_a_run_that_has_ended_is_only_written_again(arm, tmp_path):
    changes = dict(arm=arm, max_steps=4, eval_steps=4)  # the end lies within an epoch
    train(tmp_path, "run", **changes)
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    train(tmp_path, "run", resume=True, **changes)
    before, after = (sorted(path.name for path in (tmp_path / name).glob("checkpoint-*")) for name in ("before", "run"))
    assert after == before
    assert_same_run(tmp_path / "before", tmp_path / "run")


def test_a_run_that_counts_epochs_resumes_to_its_end(tmp_path, whole):
    changes = dict(arm="no-reasoning", max_steps=-1, num_epochs=2.0)
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(3, interrupt), **changes)
    train(tmp_path, "stopped", resume=True, **changes)
    assert steps(tmp_path / "stopped")[-1]["step"] == 6
    train(tmp_path, "stopped", resume=True, **changes)  # now it has ended
    assert_same_run(whole(**changes), tmp_path / "stopped")


def test_a_run_without_its_best_checkpoint_is_refused(tmp_path):
    run = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(5, interrupt), arm="no-reasoning")
    state = json.loads((last_checkpoint(run) / "trainer_state.json").read_text())
    best = f"checkpoint-{state['best_global_step']}"
    shutil.rmtree(run / best)
    with pytest.raises(CheckpointError, match=f"lacks {best}, its best"):
        train(tmp_path, "stopped", resume=True, arm="no-reasoning")


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(tmp_path, whole):
    run = tmp_path / "stopped"
    with pytest.raises(Interrupted):
        train(tmp_path, "stopped", At(5, interrupt), arm="no-reasoning")
    newest = last_checkpoint(run)
    state = json.loads((newest / "trainer_state.json").read_text())
    assert newest.name == "checkpoint-5" and state["best_global_step"] in (0, 2, 4)
    weights = (newest / "model.safetensors").read_bytes()
    (newest / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    train(tmp_path, "stopped", resume=True, arm="no-reasoning")
    shutil.rmtree(run / "damaged-checkpoint-5")
    assert_same_run(whole(arm="no-reasoning"), run)


def test_a_run_whose_patience_is_spent_is_only_written_again(tmp_path):
    changes = dict(learning_rate=1e-12, patience_steps=4, max_steps=12, arm="no-reasoning")
    train(tmp_path, "run", **changes)
    shutil.copytree(tmp_path / "run", tmp_path / "before")
    train(tmp_path, "run", resume=True, **changes)
    assert steps(tmp_path / "run")[-1]["step"] == 4
    assert_same_run(tmp_path / "before", tmp_path / "run")


def test_a_run_that_was_moved_and_resumed_elsewhere_keeps_its_best(tmp_path, monkeypatch):
    """The first validation is the best: it is that of the weights nearest to the start."""
    start = {}

    def nearness(recommender, validation, prefix):
        weights = recommender.backbone.causal_lm.state_dict()
        for name, weight in weights.items():
            start.setdefault(name, weight.clone())
        moved = sum(float((weight - start[name]).abs().sum()) for name, weight in weights.items())
        return {f"{prefix}_ndcg@10": -moved}

    monkeypatch.setattr("reckon.methods.r2ec.trainer.validate", nearness)
    changes = dict(max_steps=6, arm="no-reasoning")
    train(tmp_path, "whole", **changes)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(Interrupted):
        train(Path("."), "run", At(5, interrupt), **changes)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here" / "run").rename(tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path / "elsewhere")
    train(tmp_path, "elsewhere/moved", resume=True, **changes)
    assert_same_run(tmp_path / "whole", tmp_path / "elsewhere" / "moved")


def test_the_ctrl_c_handler_is_restored_after_a_run(tmp_path):
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


def test_an_existing_run_and_a_missing_checkpoint_are_refused(tmp_path):
    changes = dict(arm="no-reasoning", max_steps=1, eval_steps=1)
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train(tmp_path, "run", resume=True, **changes)
    train(tmp_path, "run", **changes)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train(tmp_path, "run", **changes)


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
