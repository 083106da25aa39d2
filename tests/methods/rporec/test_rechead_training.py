"""Stage I: the loss worked out by hand, negatives, and the kept epoch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from reckon.errors import ConfigError, ReckonError, ShapeError
from reckon.methods.rporec.rechead_training import (
    RecheadRows,
    Scorer,
    StageOneConfig,
    batch_loss,
    train_rechead,
    user_vectors,
    validate,
)
from reckon.models.rechead import Rechead, RecheadShape

WIDTH, ITEMS, ROWS = 16, 20, 120
CONFIG = StageOneConfig(batch_size=16, negatives=7, max_epochs=12, patience=3)


def items():
    return normalize(torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(0)), dim=1)


def rechead(seed=0):
    torch.manual_seed(seed)
    return Rechead(WIDTH, RecheadShape(hidden=32, dropout=0.0))


def rows(count=ROWS, seed=1, seen=None):
    """Histories that show one item while the reply names the item before the target: both tell, if learned."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(ITEMS, (count,), generator=generator)
    texts = torch.stack([items()[(targets + shift) % ITEMS] for shift in (3, 5, 7)], dim=1)
    return RecheadRows(texts, torch.rand(count, generator=generator) < 0.8, targets, seen)


def test_the_loss_over_the_whole_catalog_by_hand():
    head, data, scorer = rechead().eval(), rows(6), Scorer(items(), 0.5, torch.linspace(-2, 0, ITEMS))
    chosen = torch.tensor([4, 0, 2])
    users = user_vectors(head, data.texts[chosen], data.parsed[chosen], 0.5)
    logprobs = (users @ items().T + scorer.bias).log_softmax(dim=1)
    expected = -logprobs[torch.arange(3), data.targets[chosen]].mean()
    found = batch_loss(head, scorer, data, chosen, 0, torch.Generator())
    torch.testing.assert_close(found, expected)


def test_the_sampled_loss_is_over_the_target_and_its_negatives():
    head, data, scorer = rechead().eval(), rows(50), Scorer(torch.zeros(ITEMS, WIDTH), 1.0, None)
    for negatives in (1, 7):
        loss = float(
            batch_loss(head, scorer, data, torch.arange(50), negatives, torch.Generator().manual_seed(0)).detach()
        )
        # Equal scores; negatives that are the target again are out.
        assert 0.8 * math.log(1 + negatives) < loss <= math.log(1 + negatives) + 1e-6


def test_negatives_are_neither_the_target_nor_excluded_items():
    """With every other item seen, nothing is left to be mistaken for the target, whatever is drawn."""
    data = rows(8)
    seen = [np.setdiff1d(np.arange(ITEMS), [int(target)]) for target in data.targets]
    for negatives in (0, 30):
        loss = batch_loss(
            rechead().eval(), Scorer(items(), 1.0, None), replace(data, seen=seen), torch.arange(8), negatives,
            torch.Generator().manual_seed(3),
        )  # fmt: skip
        assert loss.item() == 0.0


@pytest.mark.parametrize("negatives", [0, 30])
def test_an_excluded_target_has_probability_zero(negatives):
    data = rows(8)
    seen = [np.array([int(target)]) for target in data.targets]
    loss = batch_loss(
        rechead().eval(), Scorer(items(), 1.0, None), replace(data, seen=seen), torch.arange(8), negatives,
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert loss.item() == math.inf


@pytest.mark.parametrize("negatives", [0, 7])
def test_training_raises_ndcg_and_keeps_the_best_epoch(negatives):
    head, scorer, valid = rechead(), Scorer(items(), 0.2, None), rows(60, seed=2)
    log = train_rechead(head, scorer, rows(), valid, replace(CONFIG, negatives=negatives, learning_rate=3e-3), seed=0)
    judged = [entry["eval_ndcg@10"] for entry in log if "eval_ndcg@10" in entry]
    assert validate(head, scorer, valid)["eval_ndcg@10"] == pytest.approx(max(judged))
    assert max(judged) > judged[0] + 0.3
    assert not head.training


def test_training_stops_when_patience_is_spent():
    log = train_rechead(
        rechead(), Scorer(items(), 0.2, None), rows(), rows(30, seed=2), replace(CONFIG, learning_rate=1e-9), seed=0
    )
    assert sum("loss" in entry for entry in log) == CONFIG.patience  # the start is the best


def test_the_start_is_kept_where_no_epoch_is_better():
    data, head, scorer = rows(), rechead(), Scorer(items(), 0.2, None)
    perfect = RecheadRows(scorer.items[data.targets][:, None].expand(-1, 3, -1), data.parsed, data.targets, None)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    noise = replace(data, targets=data.targets[torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))])
    log = train_rechead(head, scorer, noise, perfect, replace(CONFIG, learning_rate=1e-2), seed=0)
    best = max(entry["eval_ndcg@10"] for entry in log if "eval_ndcg@10" in entry)
    assert best == log[0]["eval_ndcg@10"]
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())


def test_the_weights_depend_on_the_seed_alone():
    states = []
    for seed in (3, 3, 4):
        head = Rechead(WIDTH, RecheadShape(hidden=32, dropout=0.3))
        head.load_state_dict(rechead().state_dict())
        train_rechead(head, Scorer(items(), 0.2, None), rows(), rows(30), replace(CONFIG, max_epochs=1), seed)
        states.append(torch.cat([value.flatten() for value in head.state_dict().values()]))
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_a_loss_that_is_not_finite_stops_the_run():
    data = rows()
    data.texts[3] = torch.nan
    with pytest.raises(ReckonError, match="diverged"):
        train_rechead(rechead(), Scorer(items(), 0.2, None), data, rows(30), CONFIG, 0)


def test_other_shapes_and_settings_out_of_range_are_refused():
    data = rows()
    with pytest.raises(ShapeError):
        RecheadRows(data.texts, data.parsed[:3], data.targets, None)
    for wrong in (
        {"batch_size": 0},
        {"max_epochs": 0},
        {"patience": 0},
        {"weight_decay": -1.0},
        {"validation_size": 0},
    ):
        with pytest.raises(ConfigError, match="stage_one"):
            StageOneConfig(**wrong)


def test_an_excluded_target_is_a_miss_in_a_small_catalog():
    small, data = items()[:8], rows(6)
    data = RecheadRows(data.texts, data.parsed, data.targets % 8, [np.arange(8)] * 6)
    assert validate(rechead(), Scorer(small, 0.5, None), data) == {"eval_ndcg@10": 0.0, "eval_hit@10": 0.0}
