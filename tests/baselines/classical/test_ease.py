"""EASE's closed form solves the paper's minimisation problem."""

import numpy as np
import pytest
import torch
from support import shelf

from reckon.baselines.classical import ease
from reckon.baselines.classical.ease import EASE, EASEConfig, item_weights
from reckon.errors import ConfigError, DataError

PENALTY = 2.5


def test_the_closed_form_is_the_ridge_regression_of_each_item_on_all_others():
    taken = np.random.default_rng(0).integers(0, 2, (30, 6)).astype(np.float64)
    found = item_weights(torch.from_numpy(taken.T @ taken), PENALTY).numpy()
    for item in range(6):
        others = [other for other in range(6) if other != item]
        features = np.vstack([taken[:, others], np.sqrt(PENALTY) * np.eye(5)])  # the penalty as further rows
        solution = np.linalg.lstsq(features, np.r_[taken[:, item], np.zeros(5)], rcond=None)[0]
        assert np.allclose(found[others, item], solution)
        assert found[item, item] == 0


def test_items_without_training_events_have_no_coefficients(tmp_path):
    data = shelf.dataset(tmp_path / "data", users=3)  # six training events: five books of twelve
    fitted = EASE.fit(data)
    assert len(fitted.known) == len(np.flatnonzero(data.train_counts)) < len(data.catalog)
    scores = fitted.scores([np.arange(12)])[0]
    assert scores[np.flatnonzero(data.train_counts == 0)].eq(0).all()


def test_a_history_scores_by_the_sum_of_its_items(tmp_path):
    fitted = EASE.fit(shelf.dataset(tmp_path / "data"))
    one, other, both = fitted.scores([np.array([1]), np.array([4]), np.array([1, 4])])
    torch.testing.assert_close(both, one + other)


def test_a_catalog_too_large_to_invert_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ease, "MOST_ITEMS", 3)
    with pytest.raises(DataError, match="leave `ease` out"):
        EASE.fit(shelf.dataset(tmp_path / "data"))


@pytest.mark.parametrize("wrong", [{"penalty": 0.0}, {"decay": 2.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EASEConfig(**wrong)
