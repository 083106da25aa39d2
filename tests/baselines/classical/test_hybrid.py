"""The hybrid adds three standardised scores by the weights that rank validation rows best."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from support import shelf

from reckon.baselines.classical.hybrid import Hybrid, HybridConfig, dampened, standardised
from reckon.baselines.classical.neighbours import co_occurrence
from reckon.data import Catalog
from reckon.errors import ConfigError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def hybrid(data):
    return Hybrid.fit(data)


def ndcg(fitted, examples):
    ranks = fitted.ranks(examples, 1).ranks
    return np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0).mean()


def test_each_part_has_mean_zero_and_deviation_one_for_each_history(hybrid):
    parts = hybrid.parts([np.array([0, 1]), np.array([5])])
    torch.testing.assert_close(parts.mean(dim=2), torch.zeros(3, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(parts.std(dim=2, correction=0), torch.ones(3, 2))


def test_a_constant_score_is_standardised_to_zero():
    assert standardised(torch.full((2, 7), 0.1)).eq(0).all()


def test_scores_are_the_weighted_sum_of_the_parts(hybrid):
    histories = [np.array([0, 1]), np.array([5])]
    content, together, popularity = hybrid.parts(histories)
    a, b, c = hybrid.weights
    torch.testing.assert_close(hybrid.scores(histories), a * content + b * together + c * popularity)


@pytest.mark.parametrize("weights", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
def test_the_chosen_weights_are_at_least_as_good_as_each_single_score_on_validation_rows(hybrid, data, weights):
    alone = Hybrid.from_tensors(
        data.catalog, hybrid.config, True, hybrid.tensors() | {"weights": torch.tensor(weights)}
    )
    assert ndcg(hybrid, data.examples("valid")) >= ndcg(alone, data.examples("valid"))


def test_the_hybrid_learns_which_item_comes_next(hybrid, data):
    assert (hybrid.ranks(data.examples("test"), 1).ranks == 1).all()
    assert hybrid.weights[1] > 0


def test_data_without_text_has_no_content_part(data):
    bare = replace(data, catalog=Catalog(pa.table({"item_id": data.catalog.ids, "title": [""] * 12})))
    fitted = Hybrid.fit(bare)
    assert fitted.content is None and fitted.weights[0] == 0
    assert fitted.parts([np.array([1])])[0].eq(0).all()


def test_weights_do_not_depend_on_test_rows(data, monkeypatch):
    asked, real = [], type(data).examples
    monkeypatch.setattr(type(data), "examples", lambda self, split, *rest: (asked.append(split), real(self, split))[1])
    Hybrid.fit(data)
    assert asked == ["valid"]


def test_co_occurrence_of_frequent_items_is_dampened():
    pairs = co_occurrence([np.array([0, 1])], 2, backward=0.0)
    assert dampened(pairs, np.array([4, 9]), 0.5)[0, 1] == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"content_decay": 0.0},
        {"decay": 2.0},
        {"pair_decay": 0.0},
        {"item_words": -1},
        {"backward": -0.1},
        {"dampening": -1.0},
        {"validation_rows": 0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        HybridConfig(**wrong)
