"""What a training run does around its updates: what it keeps, says and moves."""

import json
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file
from support.run_files import equal, steps
from support.shelf import recommender, train
from transformers import TrainerCallback

from reckon.methods.r2ec import model as r2ec_model
from reckon.methods.r2ec.trainer import fit
from reckon.training import checkpoints, loop


@pytest.mark.parametrize("arm", ["full", "no-reasoning"])
def test_a_start_that_nothing_beats_is_kept_and_the_run_says_so(arm, tmp_path):
    """So small a learning rate changes no rank."""
    train(tmp_path, "run", arm=arm, learning_rate=1e-12, max_steps=4)
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text())["kept"]
    assert (kept["step"], kept["improved"], kept["value"]) == (0, False, kept["start"])
    last = json.loads((tmp_path / "run" / "log.json").read_text())[-1]
    assert last["kept_step"] == 0 and last["outcome"].startswith("Training brought nothing")
    start = load_file(tmp_path / "run" / "checkpoint-0" / "model.safetensors")
    assert equal(start, load_file(tmp_path / "run" / "model" / "model.safetensors"))


def test_a_save_that_a_comparison_ends_in_the_middle_leaves_nothing_half_written(tmp_path, monkeypatch):
    written, write = [], checkpoints.write_checksums

    def ended(folder):
        if len(written) == 1:
            assert folder.parent.name == ".saving"
            raise SystemExit(143)  # as the process of a cell ends after SIGTERM
        written.append(folder)
        write(folder)

    monkeypatch.setattr(checkpoints, "write_checksums", ended)
    with pytest.raises(SystemExit):
        train(tmp_path, "run", arm="no-reasoning", max_steps=4, eval_steps=2)
    assert len(written) == 1 and not (tmp_path / "run" / ".saving").exists()
    assert [folder.name for folder in (tmp_path / "run").glob("checkpoint-*")] == [written[0].name]


def test_patience_is_counted_in_updates(tmp_path):
    changes = {"learning_rate": 1e-12, "max_steps": 12, "patience_steps": 6}
    for every in (2, 3):
        train(tmp_path, f"run-{every}", arm="no-reasoning", eval_steps=every, **changes)
        assert steps(tmp_path / f"run-{every}")[-1]["step"] == 6


@pytest.mark.parametrize("arm", ["full", "no-reasoning"])
def test_the_first_update_has_a_learning_rate(arm, tmp_path):
    train(tmp_path, "run", arm=arm, learning_rate=4e-3, warmup_steps=4, max_steps=2)
    assert [entry["learning_rate"] for entry in steps(tmp_path / "run")] == pytest.approx([1e-3, 2e-3])


def test_the_catalog_is_encoded_once_at_the_start(tmp_path, monkeypatch):
    encoded, found = [], []
    encode = r2ec_model.encode_items
    monkeypatch.setattr(r2ec_model, "encode_items", lambda *a, **k: encoded.append(1) or encode(*a, **k))

    class AtFirstStep(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            if state.global_step == 0:
                found.append(len(encoded))

    model, data = recommender(tmp_path, arm="no-reasoning", max_steps=1, eval_steps=1)
    fit(model, data, tmp_path / "run", progress=False, callbacks=[AtFirstStep()])
    assert found == [1]


def test_the_ratio_is_one_with_dropout_in_the_adapters(tmp_path):
    """The update reads the replies by the function that wrote them, whatever dropout the adapters are set to."""
    model, data = recommender(tmp_path, lora=2, max_steps=1, eval_steps=1)
    for module in model.backbone.model.modules():
        if hasattr(module, "lora_dropout"):
            module.lora_dropout["default"] = torch.nn.Dropout(0.5)
            module.lora_B["default"].weight.data.normal_()  # an adapter that is zero drops nothing
    fit(model, data, tmp_path / "run", progress=False)
    [entry] = steps(tmp_path / "run")
    assert entry["logprob_gap"] < 1e-4 and entry["clip_share"] == 0


def test_a_trainer_shows_step_loss_reward_and_validation(tmp_path, monkeypatch):
    lines, show = [], loop.phase

    @contextmanager
    def recorded(description, **settings):
        with show(description, **settings) as running:
            yield running
        lines.append(running.line(60))

    monkeypatch.setattr(loop, "phase", recorded)
    train(tmp_path, "run", max_steps=2)
    [line] = lines
    assert line.startswith("training 2 of 2, 1:00, ")
    assert all(word in line for word in ("loss ", "reward ", "validation NDCG@10 "))
