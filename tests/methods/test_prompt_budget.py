"""Prompts of every method fit the model: the oldest events are dropped first and counted."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from support import rated_shelf, rporec_talker, shelf
from support.run_files import steps
from support.tiny import backbone, tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

from reckon.baselines.generative.title_writer import TitleWriter, WriterConfig
from reckon.data import Catalog
from reckon.data.ratings import rating_examples
from reckon.errors import ConfigError
from reckon.evaluation.ranking.evaluate import ranking_result
from reckon.methods.r2ec import R2ec
from reckon.methods.reczero import RecZero
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.nearline import Nearline, reason_all
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.methods.rporec.summaries import Summariser
from reckon.models import Backbone
from reckon.rl.reference import ReferencePolicy

LONG = {
    "latin": "harbour" * 1_430,
    "words": "calm sea " * 1_111,
    "chinese": "红楼梦" * 3_334,
    "markup": "<eos>" * 2_000,
}
MAKE = {
    "r2ec": lambda path, **prompt: shelf.recommender(path, prompt=prompt),
    "r2ec, no reasoning": lambda path, **prompt: shelf.recommender(path, "no-reasoning", prompt=prompt),
    "rporec": lambda path, **prompt: rporec_talker.recommender(path, prompt=prompt),
}


def with_titles(model, title):
    """The model with two more items of a title."""
    model.put_items(pa.table({"item_id": ["b98", "b99"], "title": [title, title]}))
    return model


@pytest.mark.parametrize("title", LONG.values(), ids=LONG)
@pytest.mark.parametrize("method", MAKE)
def test_titles_of_ten_thousand_characters_are_cut_and_counted(tmp_path, method, title):
    model, _ = MAKE[method](tmp_path)
    model = with_titles(model, title)
    history = [1, 12, 13, 12]
    assert len(model.recommend([history] * 2, k=3)[0].items) == 3
    fitted = model.fitted(model.example_of(history))
    assert len(fitted.ids) + model.reply_tokens <= model.backbone.positions
    assert fitted.cut_titles + fitted.dropped_events == 3  # of the three latest events


@pytest.mark.parametrize("method", MAKE)
def test_the_oldest_events_are_dropped_until_the_prompt_fits(tmp_path, method):
    model, _ = MAKE[method](tmp_path, window=60, title_words=8, max_tokens=230)
    history = [number % 11 for number in range(60)] + [11]
    example = model.example_of(history)
    fitted = model.fitted(example)
    assert len(fitted.ids) <= model.prompt_limit <= 230
    assert 0 < fitted.dropped_events < 60 and fitted.cut_titles == 0
    (turn,) = fitted.messages
    shown = [line for line in turn["content"].splitlines() if line.startswith("[")]
    assert shown == [f"[{model.catalog.titles[item]}]" for item in history[-len(shown) :]]
    assert len(shown) == 60 - fitted.dropped_events
    one_more = replace(example, history=example.history[fitted.dropped_events - 1 :])
    assert model.fitted(one_more).dropped_events == 1  # what is kept is the most that fits


def test_a_reply_that_leaves_no_room_for_a_prompt_is_refused_at_the_start(tmp_path):
    data = shelf.dataset(tmp_path / "data")
    folder = shelf.backbone_folder(tmp_path / "backbone")
    config = shelf.settings(rollout={"max_completion_length": 250})
    with pytest.raises(ConfigError, match=r"rollout\.max_completion_length = 251: .* 256 positions"):
        R2ec.from_backbone(folder, data, config)
    config = shelf.settings(prompt={"max_tokens": 3})
    with pytest.raises(ConfigError, match=r"prompt\.max_tokens = 3: the instruction and one line need"):
        R2ec.from_backbone(folder, data, config)


@pytest.mark.parametrize("method", MAKE)
def test_evaluation_reports_cuts_of_prompts(tmp_path, method):
    model, data = MAKE[method](tmp_path, max_tokens=70, title_words=2)
    examples = data.examples("test", 3)
    rates = ranking_result("run", model, examples)[0].rates
    prompts = [model.fitted(examples[row]) for row in range(len(examples))]
    for rate in ("dropped_events", "cut_titles"):
        counts = [getattr(prompt, rate) for prompt in prompts]
        assert rates.get(rate, 0) == np.mean(counts)
    assert "cut_titles" in rates


def test_a_loaded_model_has_the_same_prompts(tmp_path):
    model, data = rporec_talker.recommender(tmp_path, prompt={"max_tokens": 80, "title_tokens": 5})
    fit_rechead(model, data, tmp_path / "run")
    again = RPORec.from_pretrained(tmp_path / "run")
    example = model.example_of_user(data, "u03")
    assert again.prompt_ids(example) == model.prompt_ids(example)
    with_store = reason_all(tmp_path / "run", tmp_path / "store", data=data.path)
    assert with_store.users == with_store.written > 0
    with Nearline.open(tmp_path / "run", tmp_path / "store") as nearline:
        [answer] = model.recommend_examples([example])
        assert nearline.recommend("u03").items == answer.items


@pytest.mark.parametrize("title", LONG.values(), ids=LONG)
@pytest.mark.parametrize("style", ["compact", "brief", "instruct"])
def test_a_rating_prompt_with_titles_of_ten_thousand_characters_fits(tmp_path, title, style):
    data = rated_shelf.dataset(tmp_path / "data")
    changes = {"style": style, "max_tokens": 2048}
    positions = 2000 if style == "brief" else 1000  # the answered example alone has more than a thousand bytes
    bone = backbone(max_position_embeddings=positions)
    model = rated_shelf.RecZero.from_backbone(bone, data, rated_shelf.settings(prompt=changes))
    table = model.catalog.table
    model.catalog = Catalog(table.set_column(1, table.schema.field(1), pa.array([title] * len(table))))
    prompt = model.prompt(rating_examples(data, "test", 3, 3)[0])
    assert len(prompt.ids) <= model.prompt_limit == positions - model.config.rollout.max_completion_length
    assert prompt.cut_titles + prompt.dropped_reviews >= 4  # three of the history, the item's own


@pytest.mark.parametrize("style", ["compact", "brief", "instruct"])
@pytest.mark.parametrize("windows", [(3, 3), (0, 3), (0, 0)], ids=str)
def test_every_rating_prompt_fits_the_least_budget_that_is_not_refused(tmp_path, style, windows):
    data = rated_shelf.dataset(tmp_path / "data")
    bone = backbone(max_position_embeddings=2048)

    def made(most):
        prompt = {"style": style, "max_tokens": most, "window": windows[0], "item_window": windows[1]}
        return rated_shelf.RecZero.from_backbone(bone, data, rated_shelf.settings(prompt=prompt))

    with pytest.raises(ConfigError) as error:
        made(1)
    least = int(re.search(r"set it to (\d+)", str(error.value))[1])
    with pytest.raises(ConfigError, match=r"prompt\.max_tokens"):
        made(least - 1)
    model = made(least)
    table = model.catalog.table
    model.catalog = Catalog(table.set_column(1, table.schema.field(1), pa.array(["\U0001f3b5" * 9] * len(table))))
    examples = rating_examples(data, "test", *windows)
    assert all(len(model.prompt(examples[row]).ids) <= least for row in range(len(examples)))


@pytest.mark.parametrize("title", LONG.values(), ids=LONG)
def test_a_title_writer_reads_and_writes_titles_of_ten_thousand_characters(title):
    titles = [*shelf.TITLES, title]
    words = {"item": "book", "items": "books", "action": "read"}
    writer = TitleWriter(backbone(), titles, words, WriterConfig(window=40, title_tokens=40))
    assert max(map(len, writer.title_tokens)) <= 41
    (prompt,) = writer.prompts([np.array([0, 12, 1, 12] * 10)])
    assert len(prompt) + 41 <= 256
    assert len(writer.write([np.array([12] * 20)])) == 1


def test_a_reasoning_too_long_to_be_summarised_whole_loses_its_end():
    summariser = Summariser(ReferencePolicy(backbone()), "instruct", 8)
    assert len(summariser.summaries(["so calm " * 500, "short"])) == 2
    assert len(summariser._prompt("so calm " * 500)) <= 256 - 8


@pytest.mark.parametrize("arm", ["full", "no-reasoning"])
def test_training_logs_cuts_of_prompts_and_the_context_limit(tmp_path, arm):
    shelf.train(tmp_path, "run", arm=arm, max_steps=1, prompt={"title_words": 1})
    (entry,) = steps(tmp_path / "run")
    assert entry["prompt/dropped_events"] == 0 and 1 < entry["prompt/cut_titles"] <= 3
    assert entry["prompt/context_limit"] == 256 - (5 if arm == "full" else 0) - 1  # positions, reply, marker
    shelf.train(tmp_path, "short", arm=arm, max_steps=1, prompt={"max_tokens": 58})
    (entry,) = steps(tmp_path / "short")
    assert entry["prompt/dropped_events"] > 0 and "prompt/context_limit" not in entry


def test_item_texts_that_are_cut_are_counted(tmp_path, caplog):
    model, _ = shelf.recommender(tmp_path, "no-reasoning", prompt={"item_tokens": 24})
    with_titles(model, LONG["words"])
    assert "1 of 1 item texts lose their end: more than 24 tokens" in caplog.text  # both new items have one text
    assert all(len(ids) <= 24 for ids in model.item_prompts)


LEARNED = GPT2Config(vocab_size=320, n_positions=96, n_embd=32, n_layer=1, n_head=2, pad_token_id=0, eos_token_id=1)


@pytest.mark.parametrize("method", ["r2ec", "rporec", "reczero"])
def test_a_history_longer_than_a_model_with_learned_positions_is_cut(tmp_path, method):
    """Such a model has no vector for a token behind its last position, so one too many is an IndexError."""
    history, window = [number % 11 for number in range(60)], {"window": 60, "max_tokens": 2_000}
    if method == "reczero":
        data = rated_shelf.dataset(tmp_path, length=40)
        learned = Backbone(GPT2LMHeadModel(LEARNED.from_dict({**LEARNED.to_dict(), "n_positions": 300})), tokenizer())
        rated = RecZero.from_backbone(learned, data, rated_shelf.settings(prompt=window | {"item_window": 60}))
        found = rated.rate([rating_examples(data, "test", 60, 60)[0]])
        assert found.prompts[0].dropped_reviews > 20
        return
    learned = Backbone(GPT2LMHeadModel(LEARNED), tokenizer())
    made = {"r2ec": (R2ec, shelf), "rporec": (RPORec, rporec_talker)}[method]
    model = made[0].from_backbone(learned, shelf.dataset(tmp_path), made[1].settings(prompt=window))
    assert len(model.recommend([history], k=2)[0].items) == 1  # of 12 items 11 are seen
    assert model.fitted(model.example_of(history)).dropped_events > 20
