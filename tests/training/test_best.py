import math

import pytest
import torch
from torch import nn

from reckon.training.best import Best, BestWeights, Kept


def best(patience=2, **settings):
    return Best(metric="ndcg@10", patience=patience, **settings)


def test_the_start_is_the_best_until_something_is_better():
    watched = best()
    assert [watched.see(value, step) for step, value in enumerate((0.5, 0.4, 0.5, 0.6))] == [True, False, False, True]
    assert (watched.value, watched.step) == (0.6, 3)


def test_where_less_is_better_the_least_is_kept():
    watched = best(greater_is_better=False)
    assert [watched.see(value, step) for step, value in enumerate((1.0, 1.1, 0.9))] == [True, False, True]


def test_patience_counts_steps_since_the_best_and_not_validations():
    watched = best(patience=100)
    watched.see(0.5, 0)
    watched.see(0.6, 20)
    assert [watched.is_spent(step) for step in (20, 119, 120)] == [False, False, True]


def test_a_value_that_is_no_number_is_never_the_best():
    watched = best()
    assert not watched.see(math.nan, 0)
    assert watched.see(0.1, 1) and not watched.see(math.nan, 2)


@pytest.mark.parametrize(("values", "kept"), [((0.5, 0.1, 0.2), 0.0), ((0.1, 0.5, 0.2), 1.0)], ids=["start", "later"])
def test_the_weights_of_the_best_validation_are_put_back(values, kept):
    module = nn.Linear(1, 1)
    watched = BestWeights(module, best())
    for step, value in enumerate(values):
        nn.init.constant_(module.weight, float(step))
        watched.see(value, step)
    watched.restore()
    assert module.weight.item() == kept


def test_weights_that_are_not_named_are_left_alone():
    module = nn.Linear(1, 1)
    nn.init.zeros_(module.bias)
    watched = BestWeights(module, best(), names=["weight"])
    watched.see(0.5, 0)
    nn.init.ones_(module.bias)
    watched.restore()
    torch.testing.assert_close(module.bias, torch.ones(1))


def test_what_was_kept_is_found_in_the_log():
    log = [{"step": 0, "eval_mae": 0.9}, {"step": 5, "loss": 1.0}, {"step": 10, "eval_mae": 0.8}]
    kept = Kept.of_log(log, "mae", greater_is_better=False)
    assert (kept.step, kept.value, kept.start) == (10, 0.8, 0.9)
    assert kept.words == "Kept the state after 10 updates: validation MAE 0.8000, at the start 0.9000."


def test_a_training_that_brought_nothing_says_so():
    kept = Kept.of_log([{"step": 0, "eval_ndcg@10": 0.5}, {"step": 4, "eval_ndcg@10": 0.5}], "ndcg@10")
    assert kept.step == 0
    assert (
        kept.words
        == "Training brought nothing: no validation NDCG@10 was better than the start's (0.5000), which is kept."
    )
