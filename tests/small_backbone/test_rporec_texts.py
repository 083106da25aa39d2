"""Pretraining texts for RPORec: replies of the right format, and no true targets."""

from dataclasses import replace

import numpy as np
import pytest
from support import shelf

from reckon.data import Dataset
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.config import preset
from reckon.prompts.r2ec import MARKER
from reckon.prompts.render import render
from reckon.prompts.rporec import TAGS, messages, parse_reply
from reckon.simulation.bookshop import MOOD_NAMES, shop_of, write_bookshop
from reckon.small_backbone import rporec_texts as module
from reckon.small_backbone.pretrain import new_backbone, pretrain_config
from reckon.small_backbone.rporec_texts import rporec_texts
from reckon.small_backbone.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "data"
    return Dataset.load(write_bookshop(path, train_readers=20, valid_readers=5, test_readers=5, notes=5))


@pytest.fixture(scope="module", params=["bookshop", "shelf"])
def data(request, shop, tmp_path_factory):
    return shop if request.param == "bookshop" else shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module", autouse=True)
def fewer_notes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHOP_NOTES", 1500)
        yield


@pytest.fixture(scope="module")
def texts(data):
    return rporec_texts(data, seed=0)


def notes(texts):
    return [text for text in texts if text.written.startswith("<think>")]


def test_notes_have_the_form_of_a_reply_and_summaries_say_less(data):
    texts = rporec_texts(data, seed=0)
    assert notes(texts) and all(parse_reply(note.written).problem is None for note in notes(texts))
    summaries = [text for text in texts if text.prompt.startswith("reasoning:\n")]
    assert summaries
    for text in summaries:
        reasoning = text.prompt.removeprefix("reasoning:\n").removesuffix("\nsummary:\n")
        assert text.written in reasoning and len(text.written) <= len(reasoning)
    if data.rows is not None:  # the bookshop, with notes enough to count
        longer = sum(text.prompt != f"reasoning:\n{text.written}\nsummary:\n" for text in summaries)
        assert 0.4 < longer / len(summaries) < 0.6


def test_the_prompts_are_those_of_the_small_preset(data):
    prompts = {note.prompt for note in notes(rporec_texts(data, seed=0))}
    assert all(prompt.startswith("read:\n[") or "ago: [" in prompt for prompt in prompts)
    assert all(prompt.endswith("\nnext:\n") for prompt in prompts)
    if data.rows is None:  # the shelf's own rows
        seen = {render(messages(example, data.catalog.titles, data.words, "compact"), None)
                for example in data.examples("train", 5)}  # fmt: skip
        assert prompts <= seen


def test_no_text_ends_at_the_marker_of_r2ec(texts):
    assert not any(text.ends_at_marker for text in texts)


def test_an_answer_is_never_drawn_from_the_same_row(tmp_path):
    """If every pair of items occurs in one row only, an answer with the target could come from that row only."""
    data = shelf.dataset(tmp_path / "data", users=1, length=6)
    examples = data.examples("train", 5)
    texts = notes(rporec_texts(data, seed=0))
    assert len(texts) == len(examples) > 0
    for example, note in zip(examples, texts, strict=True):
        assert data.catalog.titles[example.target] not in parse_reply(note.written).answer


def test_conclusions_about_the_bookshop_are_right_in_about_half_of_the_cases(shop):
    truth, _ = shop_of(shop)
    number = {title: book for book, title in enumerate(truth.titles)}
    right = []
    for note in notes(rporec_texts(shop, seed=0))[:1500]:
        titles = [line.strip("[]") for line in note.prompt.splitlines() if line.startswith("[")]
        books = [number[title] for title in titles]
        answered = number[parse_reply(note.written).answer.split(": ")[1]]
        mood = np.bincount(truth.moods[books], minlength=len(MOOD_NAMES)).argmax()
        right.append(
            truth.genres[answered] == truth.genre_map[truth.genres[books[-1]]] and truth.moods[answered] == mood
        )
    assert 0.5 < np.mean(right) < 0.6


def test_the_same_seed_gives_the_same_texts(data, texts):
    assert rporec_texts(data, seed=0) == texts != rporec_texts(data, seed=2)


def test_every_tag_is_one_token_and_survives_decoding(texts):
    tokenizer = train_tokenizer([text.written for text in texts], 400, [tag for tag in TAGS if tag != MARKER])
    assert all(len(tokenizer.encode(tag)) == 1 for tag in TAGS)
    written = notes(texts)[0].written
    assert tokenizer.decode(tokenizer.encode(written), skip_special_tokens=False) == written


def test_a_new_backbone_for_rporec_is_one_that_rporec_runs(shop, tmp_path):
    config = replace(pretrain_config("tiny", "rporec"), layers=1, hidden_size=32, intermediate_size=32, steps=2)
    assert config.initial == "induction"
    new_backbone(shop, tmp_path / "backbone", task="rporec", config=config, progress=False)
    small = preset("small")
    model = RPORec.from_backbone(
        tmp_path / "backbone", shop, replace(small, rollout=replace(small.rollout, max_completion_length=4))
    )
    assert model.recommend([[0, 1]], 3)[0].truncated
