"""A small backbone knows what it was made for: another task is refused, prompts that it never read are warned of."""

import pytest
from support import shelf

from reckon.comparison.registry import contestant
from reckon.errors import CheckpointError, ConfigError
from reckon.methods.train import train_run
from reckon.small_backbone.purpose import PURPOSE_FILE, check_purpose, record_purpose


@pytest.fixture
def rating_backbone(tmp_path):
    record_purpose(tmp_path, "rating")
    return tmp_path


def test_a_backbone_of_another_task_is_refused_with_the_command_that_makes_one(rating_backbone):
    with pytest.raises(ConfigError, match=r"made with --task rating.*Fix: .*reckon backbone new --task ranking"):
        check_purpose(rating_backbone, "--backbone", "r2ec", "ranking", "compact")


def test_prompts_that_it_never_read_are_warned_of_with_the_preset_that_fits(rating_backbone, caplog):
    check_purpose(rating_backbone, "--backbone", "reczero", "rating", "instruct")
    (warning,) = caplog.messages
    assert "prompt.style is instruct" in warning and "preset small" in warning


def test_a_backbone_of_the_task_with_its_prompts_and_any_other_model_pass(rating_backbone, tmp_path, caplog):
    check_purpose(rating_backbone, "--backbone", "reczero", "rating", "compact")
    check_purpose(tmp_path / "open", "--backbone", "r2ec", "ranking", "instruct")
    check_purpose("Qwen/Qwen2.5-0.5B-Instruct", "--backbone", "r2ec", "ranking", "instruct")
    assert not caplog.messages


def test_a_damaged_record_is_refused(rating_backbone):
    (rating_backbone / PURPOSE_FILE).write_text("[]")
    with pytest.raises(CheckpointError, match="damaged"):
        check_purpose(rating_backbone, "--backbone", "reczero", "rating", "compact")


def test_training_asks_before_it_loads_the_backbone(rating_backbone, tmp_path):
    shelf.dataset(tmp_path / "data")
    with pytest.raises(ConfigError, match=r"--backbone = .*made with --task rating"):
        train_run("r2ec", data=tmp_path / "data", backbone=rating_backbone, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_comparison_asks_before_it_trains(rating_backbone):
    with pytest.raises(ConfigError, match=r"m\.backbone = .*made with --task rating"):
        contestant("r2ec", "m").settings_of({"backbone": str(rating_backbone)}, "m")
