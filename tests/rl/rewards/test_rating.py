"""Rewards of RecZero: worked cases, broken replies, and the signature that TRL calls them with."""

import inspect

import numpy as np
import pytest
from support.trl_trainer import logged_step

from reckon.data.scale import Scale
from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics.rating import RatingResult, absolute_errors
from reckon.prompts.rating_reply import parse_rating
from reckon.rl.rewards.rating import answer_reward, exact_reward, format_reward, rating_reward

STARS = Scale(1, 5, 1)
SCALES = [STARS, Scale(0.5, 5, 0.5), Scale(0, 10, 1), Scale(0, 100, 1), Scale(-10, 10)]
REWARDS = {
    "format": format_reward,
    "answer": answer_reward,
    "exact": exact_reward,
    "graded sum": rating_reward,
    "exact sum": lambda scale: rating_reward(scale, answer="exact"),
    "without format": lambda scale: rating_reward(scale, use_format=False),
}
RANGES = {
    "format": (-1, 1),
    "answer": (-1, 1),
    "exact": (0, 1),
    "graded sum": (-1, 2),
    "exact sum": (-1, 2),
    "without format": (-1, 1),
}


def reply(rate):
    return (
        "<analyze user>likes the sea</analyze user><analyze item>[pos] calm [neg] slow</analyze item>"
        f"<match>fits</match><rate>{rate}</rate>"
    )


BROKEN = {
    "nothing": "",
    "only the right number": "4",
    "no match": reply(4).replace("<match>fits</match>", ""),
    "two ratings": reply(4) + "<rate>4</rate>",
    "truncated": reply(4)[:-3],
    "4/5": reply("4/5"),
    "4.0 stars": reply("4.0 stars"),
    "nan": reply("nan"),
    "off the scale": reply(400),
    "text after": reply(4) + " ok",
}


def call(reward, completions, rating):
    size = len(completions)
    return reward(["prompt"] * size, completions, [[1, 2]] * size, rating=rating)


def test_the_graded_answer_falls_by_half_a_point_per_star():
    replies = [reply(n) for n in (5, 4, 3, 2, 1)]
    assert call(answer_reward(STARS), replies, [5] * 5) == [1.0, 0.5, 0.0, -0.5, -1.0]


def test_the_graded_answer_takes_any_number_on_the_scale():
    assert call(answer_reward(STARS), [reply("4.3")], [5]) == pytest.approx([0.65])


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_the_graded_answer_is_the_same_on_every_scale_measured_by_its_half_range(scale):
    replies = [reply(f"{scale.lowest + share * scale.range:g}") for share in (0, 0.25, 0.5, 0.75, 1)]
    assert call(answer_reward(scale), replies, [scale.highest] * 5) == pytest.approx([-1, -0.5, 0, 0.5, 1])


def test_the_exact_answer_pays_the_truth_alone():
    assert call(exact_reward(STARS), [reply(4), reply("4.0"), reply("4.1"), reply(5)], [4] * 4) == [1, 1, 0, 0]


def test_a_rating_stored_in_single_precision_equals_itself():
    assert call(exact_reward(Scale(0, 5)), [reply("4.7")], [float(np.float32(4.7))]) == [1.0]


def test_the_format_reward_is_plus_or_minus_one():
    assert call(format_reward(STARS), [reply(1), reply(6), "x"], [5, 5, 5]) == [1.0, -1.0, -1.0]


def test_the_sum_is_format_and_answer():
    replies = [reply(4), reply(5), "none"]
    assert call(rating_reward(STARS), replies, [4] * 3) == [2.0, 1.5, -1.0]
    assert call(rating_reward(STARS, answer="exact"), replies, [4] * 3) == [2.0, 1.0, -1.0]
    assert call(rating_reward(STARS, use_format=False), replies, [4] * 3) == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("truth", [1.0, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_reply_that_does_not_parse_is_never_scored_as_if_it_were_right(broken, truth):
    """The fault of the public RecZero release."""
    assert call(rating_reward(STARS), [broken], [truth]) == [-1.0]
    assert call(rating_reward(STARS, answer="exact"), [broken], [truth]) == [-1.0]
    for part in (answer_reward(STARS), exact_reward(STARS), rating_reward(STARS, use_format=False)):
        assert call(part, [broken], [truth]) == [0.0] < call(part, [reply(truth)], [truth])
    parsed = parse_rating(broken, STARS)
    prediction = np.nan if parsed.rating is None else parsed.rating
    result = RatingResult("broken", np.array([prediction]), np.array([truth]), STARS)
    assert absolute_errors(result).tolist() == [max(truth - 1, 5 - truth)]


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("answer", ["graded", "exact"])
def test_no_broken_reply_earns_as_much_as_the_worst_rating_on_the_scale(scale, answer):
    worst = call(rating_reward(scale, answer), [reply(f"{scale.lowest:g}")], [scale.highest])
    assert worst[0] >= -1e-12
    assert max(call(rating_reward(scale, answer), ["no rating"], [scale.highest])) == -1


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_stays_in_its_stated_range(name, scale):
    rng = np.random.default_rng(0)
    values = rng.uniform(scale.lowest - 1, scale.highest + 1, size=200).round(2)
    truths = rng.uniform(scale.lowest, scale.highest, size=200).tolist()
    earned = call(REWARDS[name](scale), [reply(value) for value in values], truths)
    lo, hi = RANGES[name]
    assert lo - 1e-9 <= min(earned) and max(earned) <= hi + 1e-9
    assert all(type(value) is float for value in earned)


@pytest.mark.parametrize("name", REWARDS)
def test_conversations_earn_what_their_text_earns(name):
    texts = [reply(4), reply(2), "", reply(9)]
    conversations = [[{"role": "assistant", "content": text}] for text in texts]
    reward = REWARDS[name](STARS)
    assert call(reward, conversations, [4.0] * 4) == call(reward, texts, [4.0] * 4)


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_accept_the_arguments_that_trl_passes(name):
    """TRL calls with keywords: conversations or texts, ids, every column, its trainer state and its logging hooks."""
    found = REWARDS[name](STARS)(
        prompts=[[{"role": "user", "content": "rate [A]"}]] * 2,
        completions=[[{"role": "assistant", "content": reply(4)}], [{"role": "assistant", "content": "?"}]],
        completion_ids=[[5, 6], [7]],
        rating=[4.0, 4.0],
        user_id=["ann", "bob"],
        trainer_state=object(),
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
        environments=None,
    )
    assert len(found) == 2 and found[0] > found[1]


def test_a_reward_is_logged_under_its_name():
    assert [reward(STARS).__name__ for reward in (format_reward, answer_reward, exact_reward, rating_reward)] == [
        "format_reward",
        "answer_reward",
        "exact_reward",
        "rating_reward",
    ]
    assert not inspect.iscoroutinefunction(rating_reward(STARS))  # TRL would await it


@pytest.mark.parametrize("truth", [0.0, 6.0, float("nan"), float("inf")])
def test_a_truth_off_the_scale_stops_the_run(truth):
    with pytest.raises(DataError, match=r"rating\[1\]"):
        call(rating_reward(STARS), [reply(4), "broken"], [4.0, truth])


def test_a_column_of_another_length_or_none_stops_the_run():
    with pytest.raises(ShapeError, match="rating"):
        call(rating_reward(STARS), [reply(4)] * 2, [4.0])
    with pytest.raises(TypeError, match="rating"):
        rating_reward(STARS)(["p"], [reply(4)], [[1]])


@pytest.mark.parametrize("completion", [None, 4, [["x"]], [{"role": "assistant", "content": None}]])
def test_a_completion_that_is_no_text_stops_the_run(completion):
    with pytest.raises(DataError, match="completion"):
        call(rating_reward(STARS), [completion], [4.0])


def test_an_unknown_answer_reward_is_refused():
    with pytest.raises(ConfigError, match="answer"):
        rating_reward(STARS, answer="fuzzy")


@pytest.mark.parametrize("conversational", [False, True], ids=["texts", "conversations"])
def test_a_step_of_trls_grpo_trainer_runs_with_the_rewards_unchanged(tmp_path, conversational):
    template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    text = "read: [The Quiet Harbour] 4\nrate [Calm Sea]"
    prompt = [{"role": "user", "content": text}] if conversational else text
    rewards = [format_reward(STARS), answer_reward(STARS), exact_reward(STARS), rating_reward(STARS)]
    rows = [{"prompt": prompt, "rating": float(rating)} for rating in (1, 3, 4, 5)]
    logged = logged_step(tmp_path, rewards, rows, chat_template=template if conversational else None)
    # Four random tokens never parse: -1 for the format, nothing else, -1 for the sum.
    assert [logged[f"rewards/{reward.__name__}/mean"] for reward in rewards] == [-1, 0, 0, -1]
    assert logged["reward"] == -2
