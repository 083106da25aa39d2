"""What becomes of a teacher's answer: kept, asked again with a hint, or dropped for a reason."""

import pytest
from support.classroom import HINT, reply

from reckon.data.ratings import Scale
from reckon.teachers.asking import Answer
from reckon.teachers.rules import hinted_messages, judge, leaks, written

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
def test_what_becomes_of_an_answer(answer, reason):
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
def test_giving_the_hint_away_is_noticed(said):
    assert leaks({"match": f"Because {said} so."})


@pytest.mark.parametrize(
    "said", ["the user has given high ratings", "hints of folk", "a real gem", "gave 4 stars to sea"]
)
def test_ordinary_reasoning_gives_nothing_away(said):
    assert not leaks({"match": said, "rate": "true rating"})


def test_the_hint_names_the_rating_after_the_whole_prompt():
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}]
    hinted = hinted_messages(messages, 3.5)
    assert hinted[0] == messages[0]
    assert hinted[1]["content"].startswith(f"p\n\n{HINT}3.5.")
    assert messages[1]["content"] == "p"


def test_only_thinking_in_front_is_taken_away():
    assert written("<think>a</think> b <think>c</think>") == "b <think>c</think>"
