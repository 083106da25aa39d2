"""Pretraining texts for ratings: training rows only, replies of the right format, no true ratings."""

import re

import numpy as np
import pytest
from support.rated_shelf import dataset as rated_dataset
from transformers import AutoTokenizer

from reckon.data import Dataset
from reckon.data.ratings import rating_examples, rating_scale
from reckon.prompts.rating_reply import TAGS, parse_rating
from reckon.simulation.rated_bookshop import SCALE, write_rated_bookshop
from reckon.small_backbone.pretrain import new_backbone
from reckon.small_backbone.rating_texts import NOTE_ACCURACY, NOTE_WINDOW, rating_texts

SHOWN_RATING = re.compile(r"^(?:\[.*\] )?([0-9.]+)(?::|$)", re.MULTILINE)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Dataset.load(write_rated_bookshop(tmp_path_factory.mktemp("rated") / "shop", readers=60))


def test_every_note_has_the_right_form(shop, tmp_path):
    for dataset in (shop, rated_dataset(tmp_path / "shelf")):
        scale = rating_scale(dataset)
        texts = rating_texts(dataset, seed=0)
        assert len(texts) == len(rating_examples(dataset, "train"))
        assert all(parse_rating(text.written, scale).problem is None for text in texts)


def test_a_plain_note_draws_its_rating_from_those_it_shows(tmp_path):
    dataset = rated_dataset(tmp_path / "shelf")
    everything = {f"{rating:g}" for rating in rating_examples(dataset, "train").ratings}
    drawn_from = set()
    for text in rating_texts(dataset, seed=0):
        shown = set(SHOWN_RATING.findall(text.prompt))
        assert f"{parse_rating(text.written, rating_scale(dataset)).rating:g}" in (shown or everything)
        drawn_from.add(len(shown))
    assert len(drawn_from) > 2, "histories of several lengths"


def test_notes_on_the_shop_are_right_in_about_half_of_the_cases(shop):
    truths = rating_examples(shop, "train", NOTE_WINDOW, NOTE_WINDOW).ratings
    told = [parse_rating(text.written, SCALE).rating for text in rating_texts(shop, seed=0)]
    right = np.mean([one == truth for one, truth in zip(told, truths, strict=True)])
    assert 0.25 < right < NOTE_ACCURACY + 0.1


def test_the_tags_are_one_token_each_and_stay_in_decoded_text(shop, tmp_path):
    folder = new_backbone(
        shop,
        tmp_path / "b",
        task="rating",
        overrides=("hidden_size=32", "layers=1", "intermediate_size=32", "vocab_size=400", "steps=2", "initial=random"),
        progress=False,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for tag in TAGS:
        ids = tokenizer.encode(tag, add_special_tokens=False)
        assert len(ids) == 1
        assert tokenizer.decode(ids, skip_special_tokens=True) == tag
