"""The effect of the reasoning on ratings: arms that differ only in the given text."""

from dataclasses import replace

import numpy as np
import pytest
from support import rated_shelf

from reckon.data.ratings import rating_examples
from reckon.data.scale import Scale
from reckon.errors import DataError
from reckon.evaluation.ranking.reasoning import ARMS
from reckon.evaluation.rating import reasoning
from reckon.evaluation.rating.reasoning import reasoning_effect, stated_number
from reckon.metrics.rating import RatingResult, rating_summary
from reckon.prompts.blocks import TAG


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, its rows and one reply for each."""
    path = tmp_path_factory.mktemp("reasoning")
    data = rated_shelf.dataset(path / "data")
    model, examples = rated_shelf.predictor(path / "b", data), rating_examples(data, "test", 3, 3)
    replies = [rated_shelf.reply(1 + row % 5, user=f"reader {row} is calm") for row in range(len(examples))]
    return model, examples, replies


def given(monkeypatch, effect_of):
    """What each arm gives the model, by arm, and a number from `effect_of` for each text."""
    asked = []

    def rated(model, examples, texts):
        asked.append(list(texts))
        return np.array([effect_of(row, text) for row, text in enumerate(texts)], dtype=float)

    monkeypatch.setattr(reasoning, "_ratings", rated)
    return asked


def test_arms_differ_only_in_the_reasoning(place, monkeypatch):
    model, examples, replies = place
    asked = given(monkeypatch, lambda row, text: 3.0)
    effect = reasoning_effect(model, examples, replies)
    own, other, shuffled, none = asked
    assert list(effect["arms"]) == list(ARMS) and effect["rows"] == len(examples)
    assert own == [reply.partition("<rate>")[0] for reply in replies] and none == [""] * len(own)
    assert sorted(other) == sorted(own) and all(one != two for one, two in zip(own, other, strict=True))
    for text, mixed in zip(own, shuffled, strict=True):
        assert mixed != text and TAG.findall(mixed) == TAG.findall(text)
        stretches = (TAG.split(one)[::2] for one in (text, mixed))
        assert all(sorted(one.split()) == sorted(two.split()) for one, two in zip(*stretches, strict=True))


def test_the_numbers_are_those_of_the_ratings_that_were_written(place, monkeypatch):
    model, examples, replies = place
    truth = examples.ratings
    given(monkeypatch, lambda row, text: truth[row] if text == replies[row].partition("<rate>")[0] else np.nan)
    arms = reasoning_effect(model, examples, replies)["arms"]
    assert arms["own"]["mae"]["mean"] == 0 and "drop" not in arms["own"]["mae"]
    missing = RatingResult("m", np.full(len(truth), np.nan), truth, model.scale, examples.user_ids)
    for metric in ("mae", "rmse"):
        worst = rating_summary(missing)[metric]
        assert arms["none"][metric]["mean"] == pytest.approx(worst)
        assert arms["none"][metric]["drop"] == pytest.approx(-worst)


def test_unread_numbers_are_counted_for_each_arm(place, monkeypatch):
    model, examples, replies = place
    given(monkeypatch, lambda row, text: 3.0 if text and row % 4 else np.nan)
    arms = reasoning_effect(model, examples, replies)["arms"]
    assert [arms[arm]["parse_rate"] for arm in ARMS] == [{"mean": share} for share in (0.75, 0.75, 0.75, 0)]


def test_rows_of_one_user_have_no_arm_with_anothers_reasoning(place, monkeypatch):
    model, examples, replies = place
    asked = given(monkeypatch, lambda row, text: 3.0)
    alone = replace(examples, user_index=np.zeros_like(examples.user_index))
    effect = reasoning_effect(model, alone, replies)
    assert list(effect["arms"]) == ["own", "shuffled", "none"] and len(asked) == 3


def test_the_number_is_decoded_greedily_after_the_opening_tag(place):
    model, examples, replies = place
    first = reasoning_effect(model, examples, replies, seed=3)
    assert first == reasoning_effect(model, examples, replies, seed=3)


def test_the_prompt_the_reasoning_and_the_tag_are_what_the_model_reads(place, monkeypatch):
    model, examples, replies = place
    read, whole = [], model.engine.sample
    monkeypatch.setattr(
        model.engine, "sample", lambda prompts, *rest, **more: read.extend(prompts) or whole(prompts, *rest, **more)
    )
    reasoning_effect(model, examples, replies)
    for row, arm in ((0, 0), (5, 0), (5, 3)):
        text = replies[row].partition("<rate>")[0] if arm == 0 else ""
        ids = model.backbone.tokenizer.encode(f"{text}<rate>", add_special_tokens=False)
        assert read[arm * len(examples) + row] == model.prompt(examples[row]).ids + ids


@pytest.mark.parametrize(
    ("written", "number"),
    [("4</rate>", 4.0), (" 3.5 </rate> and", 3.5), ("4", None), ("6</rate>", None), ("4 stars</rate>", None)],
)
def test_a_number_is_parsed_as_in_a_whole_reply(written, number):
    found = stated_number(written, Scale(1, 5, 1))
    assert np.isnan(found) if number is None else found == number


def test_a_single_rated_row_is_refused(place):
    model, examples, replies = place
    with pytest.raises(DataError, match="fewer than two"):
        reasoning_effect(model, examples.subset([0]), replies[:1])
