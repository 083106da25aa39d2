"""Sections that methods share: one set of rules, and errors that name the section the user wrote."""

import pytest
import torch

from reckon.errors import ConfigError
from reckon.methods.r2ec.config import RecPOConfig
from reckon.methods.recone.config import SFTSettings
from reckon.methods.recone.fine_tuning import _arguments
from reckon.methods.rporec.config import RPOSettings
from reckon.rl.grpo import GRPOSettings
from reckon.training.config import TrainingConfig


@pytest.mark.parametrize(("section", "name"), [(TrainingConfig, "training"), (SFTSettings, "sft")])
@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": float("inf")},
        {"max_grad_norm": 0.0},
        {"num_epochs": 0.0},
        {"warmup_steps": -1},
        {"weight_decay": -0.1},
        {"max_steps": 0},
        {"micro_batch_size": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_optimisation_has_the_same_rules_in_every_section(section, name, wrong):
    with pytest.raises(ConfigError) as error:
        section(**wrong)
    assert error.value.field == f"{name}.{next(iter(wrong))}"


@pytest.mark.parametrize(
    ("section", "name", "usual"), [(GRPOSettings, "grpo", 8), (RPOSettings, "grpo", 8), (RecPOConfig, "recpo", 4)]
)
def test_the_policy_objective_has_the_same_rules_in_every_section(section, name, usual):
    assert section().num_generations == usual
    with pytest.raises(ConfigError, match=rf"^{name}\.num_generations = 1: .*default {usual}"):
        section(num_generations=1)
    for field in ("beta", "epsilon", "epsilon_high"):
        with pytest.raises(ConfigError, match=rf"^{name}\.{field} = -0.1: must not be negative"):
            section(**{field: -0.1})


def test_fine_tuning_counts_one_accelerator_as_every_training_does(tmp_path, monkeypatch):
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda arguments: 4))
    assert _arguments(SFTSettings(), tmp_path, torch.device("cpu"), 0, progress=False)._n_gpu == 1
