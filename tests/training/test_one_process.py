"""A launch of several processes is refused before anything is loaded or written."""

import pytest
from support.shelf import dataset
from typer.testing import CliRunner

from reckon.baselines.sequential.sasrec import SASRec
from reckon.cli import app
from reckon.errors import ConfigError
from reckon.methods.recone.fine_tuning import sft
from reckon.runs.write import starting_point
from reckon.small_backbone.pretrain import new_backbone
from reckon.training.one_process import require_one_process


def test_one_process_may_train(monkeypatch):
    for size in ("1", "", None):
        monkeypatch.setenv("WORLD_SIZE", size) if size is not None else monkeypatch.delenv("WORLD_SIZE")
        require_one_process()


def test_several_processes_are_refused_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for method in ("r2ec", "reczero", "rporec"):
        words = ["train", method, "--data", str(tmp_path), "--backbone", "none", "--out", str(tmp_path / "run")]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        assert result.stderr.startswith("reckon: WORLD_SIZE = 2: training runs in one process")
        assert result.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def trains(path):
    data = dataset(path / "data")
    return {
        "reinforcement": lambda: starting_point(path / "run", False, {}),
        "fine-tuning": lambda: sft(path / "backbone", path / "traces", path / "run"),
        "pretraining": lambda: new_backbone(data, path / "run"),
        "a baseline": lambda: SASRec.fit(data),
    }


@pytest.mark.parametrize("kind", ["reinforcement", "fine-tuning", "pretraining", "a baseline"])
def test_every_training_refuses_several_processes(kind, monkeypatch, tmp_path):
    start = trains(tmp_path)[kind]
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="WORLD_SIZE = 4"):
        start()
    assert not (tmp_path / "run").exists()


def test_a_process_group_counts_as_a_launch(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match="2 processes"):
        require_one_process()
