"""`--resume` with settings: the same are accepted, some may change and are recorded, others are refused."""

import json
from pathlib import Path

import pytest
from support import shelf

from reckon.config import load_config
from reckon.errors import CheckpointError
from reckon.methods.r2ec.config import R2ecConfig
from reckon.methods.train import train_run

TINY = ("training.batch_size=16", "training.micro_batch_size=16", "training.eval_steps=1", "training.patience_steps=9")
TINY += ("training.validation_size=4", "training.max_steps=2", "head.tau=0.1")


@pytest.fixture(scope="module")
def began(tmp_path_factory):
    """Folder with data, a backbone and a run of two updates."""
    path = tmp_path_factory.mktemp("resumed")
    shelf.dataset(path / "data")
    shelf.backbone_folder(path / "backbone")
    resume(path, resume=False, preset="small", arm="no-reasoning", overrides=TINY)
    return path


def resume(path, **options):
    inputs = {"data": path / "data", "backbone": path / "backbone", "out": path / "run", "resume": True}
    return train_run("r2ec", **(inputs | {"progress": False} | options))


def saved(path: Path) -> R2ecConfig:
    return load_config(R2ecConfig, path / "run" / "config.yaml")


@pytest.mark.parametrize(
    "options",
    [{}, {"preset": "small", "arm": "no-reasoning", "overrides": TINY}, {"overrides": ("head.tau=0.1",)}],
    ids=["none", "the whole command again", "one of them"],
)
def test_the_settings_of_the_start_are_accepted(began, options):
    before = saved(began)
    resume(began, **options)
    assert saved(began) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"overrides": ("training.learning_rate=0.5",)}, "training.learning_rate"),
        ({"seed": 7}, "seed 0 → 7"),
        ({"preset": "small", "arm": "full", "overrides": TINY}, "arm 'no-reasoning' → 'full'"),
        ({"preset": "small", "arm": "no-reasoning"}, "training.batch_size 16 → "),
    ],
)
def test_other_settings_are_refused_with_old_and_new_values(began, options, told):
    before = saved(began)
    with pytest.raises(CheckpointError, match="was begun with other settings") as refused:
        resume(began, **options)
    assert told in str(refused.value)
    assert saved(began) == before


def test_a_longer_training_is_accepted_and_recorded(began):
    resume(began, overrides=("training.max_steps=3",))
    assert saved(began).training.max_steps == 3
    changes = json.loads((began / "run" / "manifest.json").read_text())["changed_by_resumes"]
    assert changes == [{"training.max_steps": [2, 3]}]
