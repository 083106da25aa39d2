"""RPORec as a recommender: inputs, results and storage."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.rporec_talker import recommender
from support.shelf import TITLES

from reckon.errors import CheckpointError, ConfigError
from reckon.methods.registry import load_ranking_model
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.config import RPORecConfig, preset
from reckon.methods.rporec.model import NOTHING_WRITTEN, written_text
from reckon.methods.rporec.reply_store import Reply
from reckon.prompts.rporec import history_text, parse_reply
from reckon.small_backbone.tokenizer import train_tokenizer

HISTORIES = [[0, 5, 3], [7], [], [2, 2, 9, 11, 4]]
ARMS = ("full", "history-only")
RIGHT = Reply("<think>after the sea comes crime</think><answer>Dark Crime, a book</answer>", 12, False)


@pytest.fixture(params=ARMS)
def model(request, tmp_path):
    return stirred(recommender(tmp_path, request.param)[0])


@pytest.fixture
def full(tmp_path):
    return stirred(recommender(tmp_path)[0])


def stirred(model):
    """With a Rechead whose every part does something."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.rechead.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def test_exclude_seen_defaults_to_the_setting_of_training(model):
    assert not set(model.recommend([[0, 5, 3]], 100)[0].items) & {0, 5, 3}
    model.config = replace(model.config, rechead=replace(model.config.rechead, exclude_seen=False))
    assert set(model.recommend([[0, 5, 3]], 100)[0].items) >= {0, 5, 3}


def test_only_the_arm_that_reasons_has_reasoning(model):
    answer = model.recommend([[0, 5]])[0]
    assert (answer.reasoning is not None) == model.reasons == (model.without_reasoning() is not None)


def test_some_replies_parse_and_some_do_not(full):
    """Or these tests would show little."""
    replies = full.reason([full.example_of(history) for history in HISTORIES] * 6, full.config.rollout)
    assert 0 < sum(reply.parsed.problem is None for reply in replies) < len(replies)


# -- what the Rechead reads ---------------------------------------------------------------------------------------


def test_the_rechead_reads_history_reasoning_and_answer(full):
    example = full.example_of([0, 5, 3])
    texts, parsed = full.texts([example], [RIGHT])
    history = history_text(example, full.titles)
    expected = full.encoder.encode([history, "after the sea comes crime", "Dark Crime, a book"])
    assert torch.equal(texts[0], expected) and parsed.tolist() == [True]


def test_with_an_unparseable_reply_only_the_history_is_read(full):
    example = full.example_of([0, 5, 3])
    broken = [Reply(text, 5, cut) for text, cut in (("", False), ("<think>after", True), (RIGHT.text * 2, False))]
    plain = full.queries([example], [NOTHING_WRITTEN])
    for reply in broken:
        torch.testing.assert_close(full.queries([example], [reply]), plain)
    assert not torch.allclose(full.queries([example], [RIGHT]), plain)
    without = full.without_reasoning().recommend([[0, 5, 3]])[0]
    read = full.listed([example], full.reading_of([example], [broken[0]]), 10, None)[0]
    assert without.items == read.items and without.scores == pytest.approx(read.scores)


def test_the_item_named_in_the_answer_ranks_first(full):
    """Untrained blocks hand the sentence vectors through: the item that the answer names comes first."""
    fresh = RPORec.from_backbone(full.backbone, FakeDataset(full), full.config)
    example = fresh.example_of([0])
    for title in ("Dark Crime", "Calm Sea", "The Next Sea"):
        reply = Reply(f"<think>because</think><answer>{title}</answer>", 5, False)
        best = fresh.listed([example], fresh.reading_of([example], [reply]), 1, None)[0]
        assert fresh.catalog.titles[best.items[0]] == title


class FakeDataset:
    """What `from_backbone` reads of a data set."""

    def __init__(self, model):
        self.catalog, self.words, self.path = model.catalog, model.words, None
        self.train_counts = model.counts


def test_tags_that_the_tokenizer_holds_as_special_tokens_stay_in_the_text():
    tokenizer = train_tokenizer(TITLES, 300, ["<think>", "</think>", "</answer>"])
    assert "<answer>" in tokenizer.all_special_tokens, "as R2ec's marker"
    bone = SimpleNamespace(tokenizer=tokenizer, config=SimpleNamespace(eos_token_id=[tokenizer.eos_token_id]))
    text = "<think>calm</think><answer>Calm Sea</answer>"
    ids = [*tokenizer.encode(text), tokenizer.eos_token_id, tokenizer.pad_token_id]
    assert written_text(bone, ids) == text
    assert parse_reply(written_text(bone, ids)).problem is None


def test_an_end_token_inside_a_reply_breaks_its_format(full):
    tokenizer = full.backbone.tokenizer
    ids = [*tokenizer.encode("<think>calm"), tokenizer.eos_token_id, *tokenizer.encode("</answer>")]
    assert tokenizer.eos_token in written_text(full.backbone, ids)


@pytest.mark.parametrize("seed", range(4))
def test_streamed_text_is_the_reasoning(full, seed):
    pieces, history = [], [seed, 5, 3]
    answer = full.recommend_streaming(full.example_of(history), 5, on_text=pieces.append)
    assert answer == full.recommend([history], 5)[0]
    assert "".join(pieces) == answer.reasoning


def test_streaming_shows_the_reasoning_without_tags_and_holds_back_tags_that_grow(full):
    tokenizer, logits = full.backbone.tokenizer, full.backbone.logits
    text = "<think> a < b</think><answer>Calm Sea</answer>"
    steps, pieces = iter([tokenizer.encode(letter)[0] for letter in text]), []

    def forced(hidden):
        biased = logits(hidden).clone()
        biased[:, next(steps, 17)] += 1e4
        return biased

    full.backbone.logits = forced
    full.config = replace(full.config, rollout=replace(full.config.rollout, max_completion_length=80))
    answer = full.recommend_streaming(full.example_of([0]), on_text=pieces.append)
    assert "".join(pieces) == answer.reasoning == "a < b" and len(pieces) > 1
    assert not answer.truncated


# -- storage and catalog ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [0, 2])
def test_save_and_load_agree(tmp_path, lora):
    model = stirred(recommender(tmp_path, lora=lora, rechead={"popularity_prior": 1.0, "gate": "none"})[0])
    model.save_pretrained(tmp_path / "saved")
    for loaded in (RPORec.from_pretrained(tmp_path / "saved"), load_ranking_model(tmp_path / "saved")):
        assert loaded.config == model.config and loaded.data_path == model.data_path
        for ours, theirs in zip(loaded.recommend(HISTORIES), model.recommend(HISTORIES), strict=True):
            assert (ours.items, ours.item_ids, ours.reasoning) == (theirs.items, theirs.item_ids, theirs.reasoning)
            assert ours.scores == pytest.approx(theirs.scores, abs=1e-4)


@pytest.mark.parametrize("part", ["rechead.safetensors", "encoder", "item_table.safetensors", "config.yaml", "model"])
def test_a_missing_part_is_named(full, tmp_path, part):
    full.save_pretrained(tmp_path / "saved")
    path = tmp_path / "saved" / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError, match=part.partition(".")[0]):
        RPORec.from_pretrained(tmp_path / "saved")


def test_a_rechead_of_another_shape_is_refused(full, tmp_path):
    full.save_pretrained(tmp_path / "saved")
    config = (tmp_path / "saved" / "config.yaml").read_text()
    (tmp_path / "saved" / "config.yaml").write_text(config.replace("hidden: 32", "hidden: 64"))
    with pytest.raises(CheckpointError, match="rechead"):
        RPORec.from_pretrained(tmp_path / "saved")


def test_a_new_item_can_be_recommended_at_once_and_a_removed_one_never(full):
    full.put_items(pa.table({"item_id": ["new"], "title": ["The Weeping Comet"]}))
    example = full.example_of([0])
    reply = Reply("<think>it turns to space</think><answer>The Weeping Comet</answer>", 9, False)
    full.rechead = RPORec.from_backbone(full.backbone, FakeDataset(full), full.config).rechead
    assert full.listed([example], full.reading_of([example], [reply]), 1, None)[0].item_ids == ["new"]
    full.remove_items(["new"])
    assert "new" not in full.recommend([[0]], 100)[0].item_ids


def test_a_user_and_the_same_typed_history_get_the_same_list(full, tmp_path):
    from reckon.data import Dataset

    data = Dataset.load(tmp_path / "data")
    example = full.example_of_user(data, "u03")
    typed = full.example_of(np.asarray(example.seen))
    assert history_text(example, full.titles) == history_text(typed, full.titles)


# -- settings -----------------------------------------------------------------------------------------------------


def test_the_paper_preset_holds_the_values_of_paper_and_release():
    paper = preset("paper")
    assert paper == preset("as_released"), "the paper gives no value that differs from the release"
    assert (paper.prompt.window, paper.rollout.temperature, paper.rollout.max_completion_length) == (20, 1.0, 1024)
    assert (paper.grpo.num_generations, paper.grpo.beta, paper.grpo.top_entropy) == (4, 0.001, 0.2)
    assert list(paper.rewards.weights.values()) == [0.1, 0.1, 0.5, 0.1, 0.1, 0.1] and paper.rewards.delta == 0.5
    assert (paper.stage_one.negatives, paper.stage_one.learning_rate, paper.stage_one.batch_size) == (49, 1e-3, 128)
    assert (paper.rechead.gate, paper.rechead.gamma, paper.training.learning_rate) == ("soft", 0.1, 1e-6)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"rollout\.temperature"):
        RPORecConfig(rollout=replace(RPORecConfig().rollout, temperature=0))
    with pytest.raises(ConfigError, match="preset"):
        preset("large")
    for section, wrong in (
        ("rechead", {"tau": 0.0}),
        ("rechead", {"popularity_prior": -1.0}),
        ("grpo", {"top_entropy": 0.0}),
        ("stage_one", {"negatives": -1}),
        ("stage_one", {"learning_rate": 0.0}),
    ):
        with pytest.raises(ConfigError, match=section):
            replace(getattr(RPORecConfig(), section), **wrong)
