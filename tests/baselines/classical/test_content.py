"""TF-IDF neighbours rank by item text alone."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support import shelf

from reckon.baselines.classical.content import TfidfConfig, TfidfNeighbours, has_text
from reckon.data import Catalog
from reckon.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


def titled(data, titles):
    """The data set with other titles and no other text."""
    table = pa.table({"item_id": data.catalog.ids, "title": titles})
    return replace(data, catalog=Catalog(table))


def test_an_item_is_nearest_to_itself_then_to_shared_rare_words(data):
    titles = ["red fox", "red fox runs", "red hen"] + ["red thing"] * 9
    fitted = TfidfNeighbours.fit(titled(data, titles), exclude_seen=False)
    scores = fitted.scores([np.array([0])])[0]
    assert scores[0] == pytest.approx(1.0)  # cosine with itself
    assert scores[0] > scores[1] > scores[2] > 0  # fox is rarer than red


def test_items_without_a_common_word_have_cosine_zero(data):
    fitted = TfidfNeighbours.fit(titled(data, ["fox", "hen", *["cow"] * 10]))
    assert fitted.scores([np.array([0])])[0, 1:].eq(0).all()


def test_the_latest_item_has_the_highest_weight(data):
    fitted = TfidfNeighbours.fit(titled(data, ["fox", "hen", *["cow"] * 10]), TfidfConfig(decay=0.5))
    fox, hen = fitted.scores([np.array([0, 1])])[0, :2]
    assert hen == pytest.approx(1 / np.sqrt(1 + 0.25)) and fox == pytest.approx(0.5 / np.sqrt(1 + 0.25))


def test_other_columns_are_read_up_to_the_word_limit(data):
    wordy = TfidfNeighbours.fit(data)
    titles_alone = TfidfNeighbours.fit(data, TfidfConfig(item_words=0))
    assert wordy.vectors.shape[1] > titles_alone.vectors.shape[1]


def test_items_without_text_are_refused(data):
    bare = titled(data, [""] * 12)
    assert not has_text(bare.catalog) and has_text(data.catalog)
    with pytest.raises(DataError, match="has no item text"):
        TfidfNeighbours.fit(bare)


@pytest.mark.parametrize("wrong", [{"item_words": -1}, {"phrase": 0}, {"decay": 0.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TfidfConfig(**wrong)
