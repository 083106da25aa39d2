from dataclasses import replace

import pytest

from reckon.config import load_config
from reckon.errors import ConfigError
from reckon.methods.r2ec.config import R2ecConfig, preset
from reckon.training.config import TrainingConfig


@pytest.mark.parametrize("name", ["paper", "as_released", "small", "quick", "laptop"])
def test_both_arms_have_the_same_patience_in_updates(name):
    assert preset(name).training.patience_steps == preset(name, "no-reasoning").training.patience_steps


def test_a_patience_that_counts_validations_is_refused():
    with pytest.raises(ConfigError, match="counts updates"):
        TrainingConfig(patience_steps=3)
    with pytest.raises(ConfigError, match="patience_steps"):
        load_config(R2ecConfig, overrides=["training.patience=3"])


def test_a_patience_of_one_validation_is_allowed():
    assert replace(TrainingConfig(), eval_steps=50, patience_steps=50).patience_steps == 50
