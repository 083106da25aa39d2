"""Rules for answers of a teacher: kept, asked again with a hint, or dropped with a reason."""

import pytest
from support.classroom import HINT, reply

from reckon.data.ratings import Scale
from reckon.teachers.asking import Answer
from reckon.teachers.leaks import mentions_hint, stated_ratings
from reckon.teachers.rules import check_messages, hinted_messages, judge, judge_check, written

STARS = Scale(1, 5, 1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(0, 1, reply(4)), None),
        (Answer(0, 1, reply(3.6)), None),  # 4 after snapping
        (Answer(0, 1, f"<think>hm</think>\n{reply(4)}\n"), None),
        (Answer(0, 1, reply(3)), "wrong rating"),
        (Answer(0, 1, "it is a 4"), "unparseable: missing analyze user"),
        (Answer(0, 1, reply(4) + " Bye"), "unparseable: text outside"),
        (Answer(0, 1, reply(9)), "unparseable: off scale"),
        (Answer(0, 2, reply(4, match="")), "unparseable: empty match"),
        (Answer(0, 1, "  "), "empty"),
        (Answer(0, 1, reply(4), finish="length"), "truncated"),
        (Answer(0, 1, "", finish="refused"), "refused"),
        (Answer(0, 1, failure="timeout"), "failed: timeout"),
        (Answer(0, 2, reply(4, match="fits the hint")), "hint leaked"),
        (Answer(0, 1, reply(4, match="fits the hint")), None),  # nobody gave one
        (Answer(0, 2, reply(4, user="The TRUE\nrating is 4")), "hint leaked"),
        (Answer(0, 2, reply(4, match="a hint of jazz fits")), None),
    ],
    ids=lambda value: str(value)[:60],
)
def test_each_answer_is_kept_or_dropped_for_its_reason(answer, reason):
    assert judge(answer, 4.0, STARS).reason == reason


def test_without_steps_a_rating_is_right_within_a_hundredth_of_the_range():
    scale = Scale(0, 10, None)
    assert judge(Answer(0, 1, reply(7.09)), 7.0, scale).kept
    assert not judge(Answer(0, 1, reply(7.11)), 7.0, scale).kept


@pytest.mark.parametrize(
    "said",
    [
        "the true rating",
        "as given",
        "the rating was given",
        "I was told that",
        "user really gave 4",
        "ground truth",
        "hint says",
    ],
)
def test_leaks_of_the_hint_are_found(said):
    assert mentions_hint(f"Because {said} so.")


@pytest.mark.parametrize(
    "said", ["the user has given high ratings", "hints of folk", "a real gem", "gave 4 stars to sea"]
)
def test_ordinary_reasoning_has_no_leak(said):
    assert not mentions_hint(said)
    assert judge(Answer(0, 2, reply(3, match=said)), 3.0, STARS, shown={4.0}).kept


def test_the_hint_names_the_rating_after_the_whole_prompt():
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]
    hinted = hinted_messages(messages, 3.5)
    assert hinted[0] == messages[0]
    assert hinted[1]["content"].startswith(f"p\n\n{HINT}3.5.")
    assert messages[1]["content"] == "p"


def test_only_a_leading_think_block_is_removed():
    assert written("<think>a</think> b <think>c</think>") == "b <think>c</think>"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("the user's rating was 2", "hint leaked"),
        ("the answer must be 2", "hint leaked"),
        ("two stars, no more", "hint leaked"),
        ("so 2.", "hint leaked"),
        ("I settle on 2", "hint leaked"),
        ("would rate this book a 2", "hint leaked"),
        ("2/5 feels right", "hint leaked"),
        ("a perfect fit, five stars", "contradicts its rating"),
        ("the verdict is 4", "contradicts its rating"),
        ("two friends read volume 2 of it", None),
        ("the average rating is 4.2", None),
        ("slow books bore this reader", None),
    ],
)
def test_a_hinted_reasoning_that_states_a_rating_is_dropped(said, reason):
    assert judge(Answer(0, 2, reply(2, match=said)), 2.0, STARS).reason == reason
    assert judge(Answer(0, 1, reply(2, match=said)), 2.0, STARS).kept  # nobody had told it


def test_a_hinted_reasoning_may_speak_of_ratings_that_the_prompt_shows():
    spoken = Answer(0, 2, reply(2, match="gave 2 stars to Sea, 5 stars to Sand"))
    assert judge(spoken, 2.0, STARS, shown={2.0, 5.0}).kept
    assert judge(spoken, 2.0, STARS, shown={2.0}).reason == "contradicts its rating"
    told = Answer(0, 2, reply(2, match="the answer must be 2"))
    assert judge(told, 2.0, STARS, shown={2.0}).reason == "hint leaked"


def test_half_stars_in_words_are_read():
    assert [stated.rating for stated in stated_ratings("the score is three and a half")] == [3.5]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(0, 3, "<rate>2</rate>"), None),
        (Answer(0, 3, " <rate> 2 </rate>\n"), None),
        (Answer(0, 3, "<rate>4</rate>"), "reasoning leads elsewhere"),
        (Answer(0, 3, "2"), "check unreadable"),
        (Answer(0, 3, "<rate>9</rate>"), "check unreadable"),
        (Answer(0, 3, failure="timeout"), "check failed: timeout"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_second_reading_keeps_or_drops_a_trace(answer, reason):
    assert judge_check(answer, 2.0, STARS).reason == reason


def test_the_second_reading_shows_neither_prompt_nor_rating():
    [message] = check_messages(reply(2, match="dull"), STARS)
    assert "dull" in message["content"] and "<rate>2" not in message["content"] and "1 to 5" in message["content"]
