"""Neighbours of a sentence encoder rank by vectors of item text alone."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from support import shelf

from reckon.baselines.classical.encoded import EncoderConfig, EncoderNeighbours
from reckon.baselines.classical.hybrid import Hybrid, HybridConfig
from reckon.data import Catalog
from reckon.errors import CheckpointError, ConfigError, DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


def titled(data, titles):
    """The data set with other titles and no other text."""
    return replace(data, catalog=Catalog(pa.table({"item_id": data.catalog.ids, "title": titles})))


def test_an_item_is_nearest_to_itself_then_to_shared_words(data):
    fitted = EncoderNeighbours.fit(titled(data, ["red fox", "red fox runs", "blue hen", *["cow"] * 9]))
    scores = fitted.scores([np.array([0])])[0]
    assert scores[0] == pytest.approx(1.0, abs=1e-5)  # cosine with itself
    assert scores[0] > scores[1] > scores[2:].max()


def test_the_latest_item_has_the_highest_weight(data):
    fitted = EncoderNeighbours.fit(titled(data, ["fox", "hen", *["cow"] * 10]), EncoderConfig(decay=0.5))
    fox, hen = fitted.scores([np.array([0, 1])])[0, :2]
    assert hen > fox > 0
    vectors = fitted.vectors
    profile = torch.nn.functional.normalize(0.5 * vectors[0] + vectors[1], dim=0)
    torch.testing.assert_close(torch.stack([fox, hen]), vectors[:2] @ profile)


def test_an_empty_history_scores_all_items_alike(data):
    assert EncoderNeighbours.fit(data).scores([np.array([], dtype=np.int64)]).eq(0).all()


def test_items_without_text_are_refused(data):
    with pytest.raises(DataError, match="has no item text"):
        EncoderNeighbours.fit(titled(data, [""] * 12))


def test_an_encoder_that_is_not_there_is_refused(data, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        EncoderNeighbours.fit(data, EncoderConfig(encoder=str(tmp_path / "nowhere")))


@pytest.mark.parametrize("wrong", [{"item_words": -1}, {"decay": 0.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        EncoderConfig(**wrong)


def test_a_hybrid_reads_text_with_the_encoder_and_is_stored_without_it(data, tmp_path):
    fitted = Hybrid.fit(data, HybridConfig(encoder="static"))
    assert isinstance(fitted.content, EncoderNeighbours)
    fitted.save_pretrained(tmp_path / "hybrid")
    again = Hybrid.from_pretrained(tmp_path / "hybrid", data.catalog)
    histories = [np.array([0, 1]), np.array([5])]
    torch.testing.assert_close(again.scores(histories), fitted.scores(histories))
