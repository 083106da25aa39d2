"""Training RecZero: refusals before the first step, and errors of a run that diverges."""

import pytest
import torch
from support import shelf
from support.stopping import At

from reckon.errors import ConfigError, DataError, ReckonError
from reckon.methods.reczero import trainer as reczero_training
from reckon.methods.train import train_run


def test_a_batch_larger_than_the_data_is_refused(train):
    with pytest.raises(ConfigError, match="only 48 training rows"):
        train("run", batch_size=64, micro_batch_size=64)


def test_data_without_ratings_is_refused_in_one_line(folders, tmp_path):
    shelf.dataset(tmp_path / "data")
    with pytest.raises(DataError, match="rating") as error:
        train_run("reczero", data=tmp_path / "data", backbone=folders[0], out=tmp_path / "run", preset="small")
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("step", [1, 2], ids=["before a step", "before a validation"])
def test_weights_that_are_not_finite_stop_the_run_with_a_clear_error(step, train, tmp_path):
    def spoil(model):
        with torch.no_grad():
            next(model.parameters()).fill_(torch.nan)

    with pytest.raises(ReckonError, match="diverged"):
        train("run", At(step, spoil))
    assert not (tmp_path / "run" / "reczero.json").exists()


def test_a_reward_that_raises_stops_the_run(train, monkeypatch):
    monkeypatch.setattr(reczero_training, "rating_reward", lambda *_, **__: lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train("run")
