"""The staleness of the item table is measured on re-encoded rows, and a stale table is encoded again."""

from types import SimpleNamespace

import pytest
import torch
from support.run_files import steps
from support.shelf import train

from reckon.methods.r2ec.trainer import RecPOTrainer

TAU = 0.1


def after_updates(moves, *, item_drift=1.0, item_refresh_steps=0):
    """Measured staleness after each update that moved the batch's rows (item to distance), and which refreshed."""
    trainer = RecPOTrainer.__new__(RecPOTrainer)
    refreshed, measured = [], []
    trainer.args, trainer.state = SimpleNamespace(device="cpu"), SimpleNamespace(global_step=0)
    training = SimpleNamespace(item_drift=item_drift, item_refresh_steps=item_refresh_steps)
    config = SimpleNamespace(training=training, head=SimpleNamespace(tau=TAU))
    trainer.recommender = SimpleNamespace(config=config, table=SimpleNamespace(vectors=None))
    trainer.as_encoded, trainer.drift = torch.ones(6, dtype=torch.bool), 0.0
    trainer.refresh_table = lambda: (
        refreshed.append(trainer.state.global_step),
        setattr(trainer, "as_encoded", torch.ones(6, dtype=torch.bool)),
        setattr(trainer, "drift", 0.0),
    )
    trainer.report = lambda **metrics: measured.append(metrics["items__drift"])
    for moved in moves:
        trainer.state.global_step += 1
        trainer.item_term = SimpleNamespace(
            columns=torch.tensor(list(moved)), refresh=lambda _, moved=moved: torch.tensor(list(moved.values()))
        )
        trainer.after_update()
    return measured, refreshed


def test_staleness_is_the_distance_of_untouched_rows_divided_by_tau():
    measured, refreshed = after_updates([{0: 0.02, 1: 0.04}, {1: 0.01, 2: 0.06}])
    assert measured == pytest.approx([0.3, 0.6])  # row 1 was encoded a moment ago and says nothing of the others
    assert refreshed == []


def test_staleness_uses_all_rows_of_the_batch_if_all_were_touched():
    measured, _ = after_updates([{0: 0.01, 1: 0.03}, {0: 0.02, 1: 0.02}])
    assert measured == pytest.approx([0.2, 0.2])


def test_a_stale_table_is_encoded_again():
    measured, refreshed = after_updates([{0: 0.05}, {1: 0.12}, {2: 0.03}])
    assert measured == pytest.approx([0.5, 1.2, 0.3])
    assert refreshed == [2]


def test_a_table_is_encoded_every_item_refresh_steps():
    assert after_updates([{0: 0.0}] * 4, item_refresh_steps=2)[1] == [2, 4]
    assert after_updates([{0: 9.0}] * 4, item_drift=float("inf"))[1] == []


def test_a_run_logs_the_staleness_of_every_update(tmp_path):
    train(tmp_path, "run", max_steps=3, eval_steps=3)
    assert [entry["items/drift"] > 0 for entry in steps(tmp_path / "run")][1:] == [True, True]
