"""ALS and BPR of the library, and the user vectors of histories."""

import sys

import numpy as np
import pytest
import torch
from support import shelf

from reckon.baselines.classical.factors import ALS, BPR, ALSConfig, BPRConfig, fold_in_map
from reckon.baselines.classical.interactions import history_weights, training_matrix
from reckon.errors import ConfigError, MissingExtraError

pytest.importorskip("implicit")
HISTORY = np.array([1, 4, 6])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", users=24)


def weighted_errors(taken, users, items, config):
    """Hu, Koren, Volinsky equation 3, by hand."""
    taken = taken.toarray()
    confidence = np.where(taken > 0, config.alpha, 1.0)  # the library's alpha is the confidence, not what is added to 1
    fit = (confidence * (taken - users @ items.T) ** 2).sum()
    return fit + config.regularization * ((users**2).sum() + (items**2).sum())


def test_a_history_s_vector_minimises_the_weighted_squared_error(data):
    config = ALSConfig(factors=4)
    fitted = ALS.fit(data, config)
    taken = history_weights([HISTORY], 12)
    user = fitted._model.recalculate_user(np.arange(1), taken)
    least = weighted_errors(taken, user, fitted.items, config)
    for shift in np.random.default_rng(0).normal(0, 0.05, (50, 4)):
        assert least < weighted_errors(taken, user + shift, fitted.items, config)


def test_more_rounds_of_als_have_less_error(data):
    taken, errors = training_matrix(data), []
    for iterations in (1, 2, 5, 20):
        config = ALSConfig(factors=4, iterations=iterations)
        fitted = ALS.fit(data, config, seed=3)
        users = fitted._model.recalculate_user(np.arange(taken.shape[0]), taken)
        errors.append(weighted_errors(taken, users, fitted.items, config))
    assert errors == sorted(errors, reverse=True)


def test_als_recommends_the_neighbouring_books(data):
    fitted = ALS.fit(data, ALSConfig(factors=8))
    ids = fitted.recommend([data.catalog.indices(["b04", "b06"])], k=1)[0].item_ids
    assert ids == ["b05"]


def test_bpr_ranks_taken_items_above_other_items(data):
    fitted = BPR.fit(data, BPRConfig(factors=8, decay=1.0), exclude_seen=False)
    taken = training_matrix(data).toarray()
    scores = fitted.scores([np.flatnonzero(row) for row in taken]).numpy()
    inside = np.mean([(scores[u][row > 0][:, None] > scores[u][row == 0]).mean() for u, row in enumerate(taken)])
    assert inside > 0.9  # AUC of the training pairs; a guess has 0.5


def test_bpr_ranks_an_empty_history_by_the_item_bias(data):
    fitted = BPR.fit(data, BPRConfig(factors=4))
    torch.testing.assert_close(fitted.scores([np.array([], dtype=np.int64)])[0], fitted.bias)


def test_bpr_scores_of_similar_histories_stay_small(data):
    fitted = BPR.fit(data, BPRConfig(factors=64))  # more factors than users: least squares alone has no answer
    scores = fitted.scores([np.array([item]) for item in range(len(data.catalog))])
    trained = (fitted.items @ fitted.items.T).abs().max() + fitted.bias.abs().max()
    assert scores.abs().max() < 3 * trained


def test_the_fold_in_map_does_not_depend_on_rounding_of_its_input():
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(20, 1, generator=generator) @ torch.randn(1, 6, generator=generator)
    nearly = base + 1e-5 * torch.randn(20, 6, generator=generator)  # all users alike but for rounding
    learned = torch.randn(20, 6, generator=generator)
    torch.testing.assert_close(
        fold_in_map(nearly, learned), fold_in_map(nearly + 1e-7 * base.roll(1, 0), learned), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(("baseline", "module"), [(ALS, "implicit.cpu.als"), (BPR, "implicit.cpu.bpr")])
def test_without_the_library_the_extra_is_named(baseline, module, data, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"reckon-recsys\[baselines\]"):
        baseline.fit(data)


@pytest.mark.parametrize("baseline", [ALS, BPR])
def test_progress_ends_at_one(baseline, data):
    told = []
    baseline.fit(data, baseline.CONFIG(factors=2, iterations=4), on_progress=told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (ALSConfig, {"factors": 0}),
        (ALSConfig, {"alpha": 0.0}),
        (ALSConfig, {"regularization": -1.0}),
        (BPRConfig, {"learning_rate": 0.0}),
        (BPRConfig, {"decay": 0.0}),
        (BPRConfig, {"regularization": -1.0}),
    ],
)
def test_wrong_settings_are_refused(config, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        config(**wrong)
