"""Training RecZero: a stopped run resumes bit for bit, with its first settings and reference policy."""

from dataclasses import replace

import pytest
from support.rated_runs import settings
from support.run_files import assert_same_run, steps
from support.stopping import At, Killed, interrupt, kill

from reckon.config import save_config
from reckon.errors import CheckpointError
from reckon.methods.reczero.config import preset
from reckon.training.arguments import run_config
from reckon.training.checkpoints import Interrupted, last_checkpoint

KL = {"grpo": {"beta": 0.1}}
WITH_ADAPTERS = KL | {"lora": 2, "learning_rate": 3e-2}


@pytest.mark.parametrize("changes", [{}, KL, WITH_ADAPTERS], ids=["no kl", "kl", "kl with adapters"])
def test_a_killed_run_resumes_bit_for_bit_from_its_last_validation(changes, train, whole, tmp_path):
    with pytest.raises(Killed):
        train("stopped", At(5, kill), **changes)
    assert last_checkpoint(tmp_path / "stopped").name == "checkpoint-4"
    train("stopped", resume=True, **changes)
    assert_same_run(whole(**changes), tmp_path / "stopped")


def test_an_interrupted_run_resumes_bit_for_bit_from_where_it_was(train, whole, tmp_path):
    with pytest.raises(Interrupted):
        train("stopped", At(3, interrupt), **WITH_ADAPTERS)
    assert last_checkpoint(tmp_path / "stopped").name == "checkpoint-3"
    train("stopped", resume=True, **WITH_ADAPTERS)
    assert_same_run(whole(**WITH_ADAPTERS), tmp_path / "stopped")


def test_the_kl_term_grows_from_zero_and_so_tells_the_start_from_a_checkpoint(whole):
    """The runs above would differ in it if a resumed run took its reference from the checkpoint."""
    entries = steps(whole(**KL))
    assert entries[0]["kl"] == pytest.approx(0, abs=1e-6) and entries[4]["kl"] > 0.01


def test_an_existing_run_and_a_missing_checkpoint_are_refused(train):
    with pytest.raises(CheckpointError, match="no whole checkpoint"):
        train("run", resume=True)
    train("run", max_steps=2)
    with pytest.raises(CheckpointError, match="already holds a run"):
        train("run")


def test_a_resumed_run_keeps_its_first_settings(tmp_path):
    began = settings(arm="exact-answer", seed=3)
    save_config(began, tmp_path / "config.yaml")
    sources = (preset("paper"), tmp_path / "config.yaml", None)
    assert run_config(*sources, (), resume=True, seed=None) == began
    longer = run_config(*sources, ("training.max_steps=9",), resume=True, seed=None)
    assert longer == replace(began, training=replace(began.training, max_steps=9))
    assert run_config(*sources, ("seed=2",), resume=True, seed=4) == replace(began, seed=4)
    assert run_config(*sources, (), resume=False, seed=4) == replace(preset("paper"), seed=4)
