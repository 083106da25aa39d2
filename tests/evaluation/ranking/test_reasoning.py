"""The effect of the reasoning on rankings: arms that read given replies, and laws between them."""

from dataclasses import replace

import numpy as np
import pytest
from support import rporec_talker, shelf

from reckon.errors import ConfigError, DataError
from reckon.evaluation.ranking.reasoning import ARMS, others, reasoning_effect
from reckon.prompts.blocks import shuffled_words


@pytest.fixture(scope="module", params=["r2ec", "rporec"])
def model(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    return (shelf if request.param == "r2ec" else rporec_talker).recommender(path)


def test_every_arm_ranks_the_same_rows(model):
    recommender, data = model
    examples = data.examples("test", 3)
    effect = reasoning_effect(recommender, examples, metrics=("hit@3", "mrr"))
    assert effect["rows"] == len(examples) and list(effect["arms"]) == list(ARMS)
    for arm, numbers in effect["arms"].items():
        for metric in ("hit@3", "mrr"):
            own = effect["arms"]["own"][metric]
            assert 0 <= numbers[metric]["mean"] <= 1
            if arm != "own":
                assert numbers[metric]["drop"] == pytest.approx(own["mean"] - numbers[metric]["mean"])
    assert "drop" not in effect["arms"]["own"]["mrr"]


def test_the_same_seed_gives_the_same_effect(model):
    recommender, data = model
    examples = data.examples("test", 3)
    assert reasoning_effect(recommender, examples, seed=2) == reasoning_effect(recommender, examples, seed=2)


def test_the_arm_none_equals_the_model_without_reasoning(model):
    recommender, data = model
    examples = data.examples("test", 3)
    effect = reasoning_effect(recommender, examples, metrics=("mrr",))
    plain = recommender.without_reasoning().ranks(examples)
    assert effect["arms"]["none"]["mrr"]["mean"] == pytest.approx((1 / plain.ranks).mean())


def test_the_reading_of_a_reply_does_not_depend_on_the_batch(model):
    recommender, data = model
    rows = [*data.examples("test", 3)][:5]
    replies = recommender.written(rows)
    together = recommender.reading_written(rows, replies).queries
    for row, reply, query in zip(rows, replies, together, strict=True):
        alone = recommender.reading_written([row], [reply]).queries[0]
        assert np.allclose(alone.numpy(), query.numpy(), atol=1e-4)


def test_the_reading_depends_on_the_given_reply(model):
    recommender, data = model
    row = data.examples("test", 3)[0]
    read = recommender.reading_written(
        [row, row], ["<think>a calm sea</think><answer>Calm Sea, a book</answer>", "<think>x</think><answer>b</answer>"]
    )
    assert not np.allclose(read.queries[0].numpy(), read.queries[1].numpy())


def test_a_model_that_does_not_reason_is_refused(tmp_path):
    recommender, data = shelf.recommender(tmp_path, arm="no-reasoning")
    with pytest.raises(ConfigError, match="no reasoning"):
        reasoning_effect(recommender, data.examples("test", 3))


def test_a_single_row_is_refused(model):
    recommender, data = model
    with pytest.raises(DataError, match="fewer than two"):
        reasoning_effect(recommender, data.examples("test", 3).subset([0]))


def test_rows_of_one_user_have_no_arm_with_anothers_reasoning(model):
    recommender, data = model
    examples = data.examples("test", 3).subset([0, 1, 2])
    alone = replace(examples, user_ids=np.full_like(examples.user_ids, "u0"))
    assert list(reasoning_effect(recommender, alone, metrics=("mrr",))["arms"]) == ["own", "shuffled", "none"]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 1, 1, 1, 1), (3, 3), (4, 1, 2, 1), (2, 9, 1), (1, 9), (5, 5, 5)])
def test_exchanged_rows_belong_to_other_users_and_repeat_only_if_necessary(sizes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        users = rng.permutation(np.repeat([f"u{user}" for user in range(len(sizes))], sizes).astype(object))
        found = others(users, rng)
        assert all(users[row] != users[other] for row, other in enumerate(found))
        assert 2 * max(sizes) > len(users) or sorted(found) == list(range(len(users)))
    assert others(np.array(["a", "a"], dtype=object), rng) is None


def test_shuffled_words_stay_in_their_block():
    text = "<think>one two\nthree four five six</think> <answer>seven eight nine</answer>"
    shuffled = shuffled_words(text, np.random.default_rng(0))
    assert shuffled != text and sorted(shuffled.split("</think>")[0][7:].split()) == sorted(
        ["one", "two", "three", "four", "five", "six"]
    )
    assert shuffled.startswith("<think>") and shuffled.endswith("</answer>")
    assert sorted(shuffled.partition("<answer>")[2][:-9].split()) == ["eight", "nine", "seven"]
    assert shuffled_words("", np.random.default_rng(0)) == ""
