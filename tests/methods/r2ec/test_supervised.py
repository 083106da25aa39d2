"""The arm `supervised`: the model's most likely reasoning, then the item loss; no reward."""

import pytest
import torch
from support.run_files import steps
from support.shelf import recommender, train

from reckon.methods.r2ec.trainer import target_columns

ROWS = 48  # training rows of the shelf


def test_its_loss_is_that_of_the_target_under_the_most_likely_reasoning(tmp_path):
    torch.manual_seed(0)
    untrained, data = recommender(tmp_path / "untrained", arm="supervised", head={"negatives": "catalog"})
    rows = [*data.examples("train", untrained.prompt.window)]
    assert len(rows) == ROWS
    untrained.refresh_items()
    hidden, rollouts = untrained.read(rows)
    assert rollouts is not None and rollouts.group_size == 1
    _, probabilities = target_columns(untrained, hidden, rows)
    sizes = {"batch_size": ROWS, "micro_batch_size": ROWS, "max_steps": 1, "eval_steps": 1}
    train(tmp_path, "run", arm="supervised", head={"negatives": "catalog"}, **sizes)
    assert steps(tmp_path / "run")[0]["loss"] == pytest.approx(-probabilities.log().mean().item(), rel=1e-4)


def test_it_logs_its_replies_and_no_reward(tmp_path):
    train(tmp_path, "run", arm="supervised", max_steps=1, eval_steps=1)
    logged = steps(tmp_path / "run")[0]
    assert {"reply/length", "reply/truncated"} <= logged.keys()
    assert not any(name.startswith("reward/") for name in logged)


def test_it_reasons_when_it_recommends(tmp_path):
    model, data = recommender(tmp_path, arm="supervised")
    assert model.reasons and not model.config.reinforces
    _, rollouts = model.read([*data.examples("valid", model.prompt.window)][:2])
    assert rollouts is not None
