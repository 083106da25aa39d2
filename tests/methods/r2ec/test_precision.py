"""Training R2ec in bfloat16 under adapters: trainer and rollout agree, and the run says in which precision it was."""

import json
import math

import pytest
import torch
from support.run_files import steps
from support.shelf import train

from reckon.config import load_config
from reckon.errors import CheckpointError
from reckon.methods.r2ec import R2ec
from reckon.methods.r2ec.config import R2ecConfig
from reckon.models import precision

HALF = {"lora": 2, "dtype": "bfloat16"}


def test_the_mean_ratio_of_trainer_to_rollout_is_1_in_bfloat16(whole):
    entries = steps(whole(**HALF))
    assert len(entries) == 6
    for entry in entries:
        assert entry["ratio/mean"] == pytest.approx(1, abs=1e-6)  # a mean of ratios that are 1
        assert entry["logprob_gap"] < 0.01
        assert math.isfinite(entry["loss"])


@pytest.mark.parametrize(("changes", "dtype"), [(HALF, "bfloat16"), ({"arm": "full"}, "float32")], ids=str)
def test_the_run_records_its_dtype(whole, changes, dtype):
    run = whole(**changes)
    assert json.loads((run / "manifest.json").read_text())["dtype"] == dtype
    assert json.loads((run / "begun.json").read_text())["dtype"] == dtype


def test_a_run_is_loaded_in_its_precision(whole):
    model = R2ec.from_pretrained(whole(**HALF))
    assert model.backbone.dtype == "bfloat16"
    assert model.table.vectors.dtype == torch.float32


def test_a_run_does_not_go_on_in_another_precision(tmp_path, monkeypatch):
    """As where `auto` settles differently on another machine."""
    auto = {"lora": 2, "dtype": "auto", "max_steps": 2}
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    train(tmp_path, "run", **auto)
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    with pytest.raises(CheckpointError, match=r"another dtype \(bfloat16, now float32\).*with the same dtype"):
        train(tmp_path, "run", resume=True, **auto)


def test_the_default_is_auto():
    assert load_config(R2ecConfig).training.dtype == "auto"
