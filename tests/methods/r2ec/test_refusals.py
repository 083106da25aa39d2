"""Training R2ec: refusals before the first step, and errors of a run that diverges."""

import pytest
import torch
from support.shelf import recommender, settings, train
from support.stopping import At

from reckon.errors import CheckpointError, ConfigError, ReckonError
from reckon.methods.r2ec import trainer as r2ec_training
from reckon.methods.r2ec.trainer import fit

ARMS = ("full", "no-reasoning")


def test_a_batch_larger_than_the_data_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="only 48 training rows"):
        train(tmp_path, "run", batch_size=64)


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


def test_a_run_is_refused_in_a_folder_of_other_files(tmp_path):
    model, data = recommender(tmp_path)
    before = (data.path / "items.parquet").read_bytes()
    with pytest.raises(CheckpointError, match="not a run's"):
        fit(model, data, data.path, progress=False)
    assert (data.path / "items.parquet").read_bytes() == before


def test_full_training_of_bfloat16_weights_is_refused():
    with pytest.raises(ConfigError, match="lose small updates"):
        settings(dtype="bfloat16")
    assert settings(dtype="bfloat16", lora=2).training.dtype == "bfloat16"
