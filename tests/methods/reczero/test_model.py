"""Predicting ratings: greedy replies and means of samples, from a prompt without the true rating."""

import json
import math
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from support import rated_shelf, rated_talker, shelf
from support.rated_shelf import reply

from reckon.data.ratings import rating_context, rating_examples
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.config import RecZeroConfig, preset
from reckon.models.backbone import LoraSettings
from reckon.prompts.rating_reply import REPLY_END, parse_rating
from reckon.rl.grpo import GRPOSettings


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rated_shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def examples(data):
    return rating_examples(data, "test", 3, 3)


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    """Its most likely replies parse or have text outside; so do the sampled ones."""
    return rated_talker.predictor(tmp_path_factory.mktemp("model") / "backbone", data, fluency=15)


@pytest.fixture
def written(monkeypatch):
    """Make every model write these replies, one after the other, over all batches."""

    def write(*replies):
        left = iter(replies)
        monkeypatch.setattr(RecZero, "replies", lambda self, rollouts: [next(left) for _ in range(len(rollouts))])

    return write


def same(left, right):
    """Equal predictions, spreads, replies and problems."""
    return (
        np.array_equal(left.predictions, right.predictions, equal_nan=True)
        and np.array_equal(left.spread, right.spread, equal_nan=True)
        and (left.replies, left.problems) == (right.replies, right.problems)
    )


# -- one reply ----------------------------------------------------------------------------------------------------


def most_likely(model, ids):
    """The reply token by token, without the engine and without sharing anything."""
    lm, words, written = model.backbone.causal_lm, model.backbone.tokenizer, []
    while len(written) < model.config.rollout.max_completion_length and REPLY_END not in words.decode(written):
        with torch.no_grad():
            written.append(int(lm(input_ids=torch.tensor([[*ids, *written]])).logits[0, -1].argmax()))
        if written[-1] == words.eos_token_id:
            break
    return words.decode(written, skip_special_tokens=True)


def test_a_single_prediction_is_the_rating_of_the_most_likely_reply(model, examples):
    rated = model.rate(examples)
    expected = [most_likely(model, model.prompt(example).ids) for example in examples]
    assert rated.replies == expected
    ratings = [parse_rating(text, model.scale).rating for text in expected]
    assert len({rating for rating in ratings if rating is not None}) > 1, "the model says only one thing"
    assert np.array_equal(rated.predictions, np.array(ratings, dtype=float), equal_nan=True)
    assert np.isnan(rated.spread).all()
    assert np.array_equal(model.predict(examples), rated.predictions, equal_nan=True)


def test_greedy_replies_do_not_depend_on_seed_batches_or_order(model, examples):
    rated = model.rate(examples)
    assert same(model.rate(examples, seed=7), rated)
    assert same(model.rate(examples, batch_size=1), rated)
    assert same(model.rate(examples, batch_size=5), rated)
    backwards = model.rate(examples.subset(np.arange(len(examples))[::-1]))
    assert backwards.replies == rated.replies[::-1]
    assert np.array_equal(backwards.predictions, rated.predictions[::-1], equal_nan=True)


def test_an_unparseable_reply_has_no_rating_and_a_problem(model, examples, written):
    written(reply(4), "4", reply(9), "")
    rated = model.rate(examples.subset([0, 1, 2, 3]))
    assert np.array_equal(rated.predictions, [4, np.nan, np.nan, np.nan], equal_nan=True)
    assert rated.problems == ["", "missing analyze user", "off scale", "empty reply"]
    assert rated.reply_parse_rate == 0.25


def test_a_reply_out_of_budget_is_counted_as_truncated(data, tmp_path):
    silent = rated_shelf.predictor(tmp_path / "backbone", data)
    rated = silent.rate(rating_examples(data, "test", 3, 3))
    cut = rated.truncated
    assert cut.any() and (rated.lengths[cut] == silent.config.rollout.max_completion_length).all()
    assert np.isnan(rated.predictions).all() and rated.reply_parse_rate == 0


def test_progress_counts_every_row_once(model, examples):
    done = []
    model.rate(examples, batch_size=5, on_batch=done.append)
    assert done == [5, 5, 5, 1]


def test_no_examples_give_no_predictions(model):
    rated = model.rate([])
    assert rated.predictions.shape == rated.spread.shape == (0,) and rated.replies == []


# -- several replies ----------------------------------------------------------------------------------------------


def test_several_replies_predict_their_mean_and_spread(model, examples, written):
    written(reply(2), reply(4), "nothing", reply(5), "4/5", "", "?", "?", "?", reply(1), reply(1), reply(4))
    rated = model.rate(examples.subset([0, 1, 2, 3]), samples=3, batch_size=3)
    assert np.array_equal(rated.predictions, [3, 5, np.nan, 2], equal_nan=True)
    assert rated.spread[[0, 3]] == pytest.approx([math.sqrt(2), math.sqrt(3)])
    assert np.isnan(rated.spread[[1, 2]]).all(), "one rating has no spread"
    assert rated.replies == [reply(2), reply(5), "?", reply(1)], "the first of each row"
    assert [bool(problem) for problem in rated.problems] == [0, 0, 1, 0, 1, 1, 1, 1, 1, 0, 0, 0]
    assert rated.reply_parse_rate == 0.5


def test_the_seed_decides_sampled_replies(data, examples, tmp_path):
    model = rated_talker.predictor(tmp_path / "backbone", data)
    first = model.rate(examples, samples=4, seed=1)
    assert same(first, model.rate(examples, samples=4, seed=1))
    assert not same(first, model.rate(examples, samples=4, seed=2))
    assert len(first.problems) == len(first.lengths) == len(first.truncated) == 4 * len(examples)
    known = ~np.isnan(first.predictions)
    assert 0 < first.reply_parse_rate < 1 and known.any()
    assert (first.predictions[known] >= 1).all() and (first.predictions[known] <= 5).all()


def test_a_prediction_of_zero_samples_is_refused(model, examples):
    with pytest.raises(ConfigError, match="at least one reply"):
        model.rate(examples, samples=0)


# -- prompts ------------------------------------------------------------------------------------------------------


def test_the_true_rating_never_reaches_the_prompt(model, examples):
    for example in examples:
        ids = model.prompt(example).ids
        for rating in (1.0, 5.0, float("nan")):
            assert model.prompt(replace(example, rating=rating)).ids == ids
    hidden = [replace(example, rating=float("nan")) for example in examples]
    assert same(model.rate(hidden), model.rate(examples))


def test_a_prompt_over_budget_loses_reviews_and_keeps_the_item(model, data, tmp_path):
    whole = [model.prompt(example) for example in rating_examples(data, "test", 3, 3)]
    assert all(prompt.dropped_reviews == prompt.cut_texts == 0 for prompt in whole)
    longest = max(len(prompt.ids) for prompt in whole)
    tight = replace(model.config, prompt=replace(model.config.prompt, max_tokens=longest * 2 // 3))
    short = RecZero(model.backbone, model.catalog, model.words, model.scale, tight)
    for example in rating_examples(data, "test", 3, 3):
        prompt = short.prompt(example)
        assert len(prompt.ids) <= longest * 2 // 3
        assert prompt.text.rstrip().endswith(f"rate [{model.catalog.titles[example.item_index]}]")
        assert prompt.cut_texts + prompt.dropped_reviews > 0
    tiny = replace(model.config, prompt=replace(model.config.prompt, max_tokens=5))
    with pytest.raises(ConfigError, match=r"prompt\.max_tokens = 5: the instruction and one line"):
        RecZero(model.backbone, model.catalog, model.words, model.scale, tiny).rate(rating_examples(data, "test"))


def test_a_user_without_history_gets_a_prediction(model, data):
    example = rating_context(data, [], 3)
    assert example.user_history == () and "nothing yet" in model.prompt(example).text
    assert len(model.rate([example]).replies) == 1


def test_data_without_ratings_is_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match="rating") as error:
        RecZero.from_backbone(
            rated_talker.backbone_folder(tmp_path / "b"), shelf.dataset(tmp_path / "d"), rated_shelf.settings()
        )
    assert "\n" not in str(error.value)


# -- storage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [0, 2], ids=["full", "lora"])
def test_save_and_load_agree(data, examples, tmp_path, rank):
    config = replace(rated_shelf.settings(), lora=LoraSettings(r=rank))
    model = RecZero.from_backbone(rated_talker.backbone_folder(tmp_path / "backbone"), data, config)
    with torch.no_grad():
        for name, parameter in model.backbone.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.02, generator=torch.Generator().manual_seed(0))
    one, several = model.rate(examples), model.rate(examples, samples=3, seed=5)
    model.save_pretrained(tmp_path / "run")
    loaded = RecZero.from_pretrained(tmp_path / "run", device="cpu")
    assert same(loaded.rate(examples), one) and same(loaded.rate(examples, samples=3, seed=5), several)
    assert (loaded.config, loaded.scale, loaded.words) == (model.config, model.scale, model.words)
    assert loaded.catalog.ids == model.catalog.ids and loaded.data_path == data.path.resolve()
    loaded.save_pretrained(tmp_path / "again")
    assert same(RecZero.from_pretrained(tmp_path / "again", device="cpu").rate(examples), one)


BREAKAGES = {
    "no reczero.json": lambda run: (run / "reczero.json").unlink(),
    "half a reczero.json": lambda run: (run / "reczero.json").write_text('{"words": '),
    "another reczero.json": lambda run: (run / "reczero.json").write_text("[]"),
    "no scale": lambda run: (run / "reczero.json").write_text(json.dumps({"words": {}, "scale": None, "data": None})),
    "no items": lambda run: (run / "items.parquet").unlink(),
    "half of the items": lambda run: (run / "items.parquet").write_bytes((run / "items.parquet").read_bytes()[:50]),
    "no config": lambda run: (run / "config.yaml").unlink(),
    "another config": lambda run: (run / "config.yaml").write_text("recpo: {}\n"),
    "no weights": lambda run: (run / "model" / "model.safetensors").unlink(),
    "half of the weights": lambda run: (run / "model" / "model.safetensors").write_bytes(
        (run / "model" / "model.safetensors").read_bytes()[:5000]
    ),
    "no tokenizer": lambda run: [file.unlink() for file in (run / "model").glob("tokenizer*")],
    "nothing": shutil.rmtree,
}


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "run"
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_run_is_one_clear_checkpoint_error(how, stored, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(stored, run)
    BREAKAGES[how](run)
    with pytest.raises(CheckpointError, match="Fix: ") as error:
        RecZero.from_pretrained(run, device="cpu")
    assert "/run" in str(error.value) and "\n" not in str(error.value)  # the path may be shortened


# -- settings -----------------------------------------------------------------------------------------------------


def test_the_paper_preset_holds_the_constants_of_the_paper():
    paper = preset("paper")
    assert (paper.grpo.num_generations, paper.rollout.temperature, paper.grpo.beta) == (8, 1.0, 0.0)
    assert (paper.training.learning_rate, paper.training.batch_size, paper.training.num_epochs) == (2e-6, 8, 1.0)
    assert (paper.prompt.window, paper.prompt.item_window, paper.arm) == (10, 10, "full")


def test_the_released_code_differs_from_the_paper_in_its_kl_term_alone():
    paper, released = preset("paper"), preset("as_released")
    assert released.grpo == replace(paper.grpo, beta=0.001)
    others = [part.name for part in fields(RecZeroConfig) if part.name != "grpo"]
    assert all(getattr(paper, name) == getattr(released, name) for name in others)


@pytest.mark.parametrize("name", ["paper", "as_released", "small"])
@pytest.mark.parametrize("arm", ["full", "exact-answer", "no-format"])
def test_every_preset_has_every_arm(name, arm):
    assert replace(preset(name, arm), arm="full") == preset(name)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"grpo\.num_generations"):
        GRPOSettings(num_generations=1)
    with pytest.raises(ConfigError, match=r"grpo\.beta"):
        GRPOSettings(beta=-0.1)
    with pytest.raises(ConfigError, match=r"rollout\.temperature"):
        replace(rated_shelf.settings(), rollout=replace(rated_shelf.settings().rollout, temperature=0))
    with pytest.raises(ConfigError, match="preset"):
        preset("large")
