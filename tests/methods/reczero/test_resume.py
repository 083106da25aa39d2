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


@pytest.mark.parametrize(
    "changes",
    [{}, {"grpo": {"beta": 0.1}}, {"grpo": {"beta": 0.1}, "lora": 2, "learning_rate": 3e-2}],
    ids=["no kl", "kl", "kl with adapters"],
)
@pytest.mark.parametrize(("step", "stop"), [(5, "kill"), (3, "ctrl-c")])
def test_a_stopped_run_resumes_bit_for_bit(changes, step, stop, train, whole, tmp_path):
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
