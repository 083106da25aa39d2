"""The style `brief`: what it asks for, and examples whose replies parse."""

import pytest
from support.rated_prompts import CATALOG, EXAMPLE, HALVES, STARS, WORDS

from reckon.data.examples import Event, Example
from reckon.data.scale import Scale
from reckon.prompts import r2ec, rporec
from reckon.prompts.rating import rating_messages
from reckon.prompts.rating_reply import TAGS, parse_rating
from reckon.prompts.rporec import parse_reply

TITLES = ["The Quiet Harbour", "Calm Sea"]
USER = Example("ann", (Event(0, None, None), Event(1, None, None)), target=1, time=None)


def test_r2ecs_prompt_is_this_text():
    (message,) = r2ec.messages(USER, TITLES, WORDS, "brief")
    assert message == {
        "role": "user",
        "content": "[The Quiet Harbour]\n[Calm Sea]\n\nA user read these books. In one short sentence, name what this "
        "user likes and what kind of book comes next.",
    }


def test_rporecs_example_is_answered_in_the_form_and_asks_as_the_prompt_does():
    asked, answered, prompt = rporec.messages(USER, TITLES, WORDS, "brief")
    assert [turn["role"] for turn in (asked, answered, prompt)] == ["user", "assistant", "user"]
    assert parse_reply(answered["content"]).problem is None
    assert asked["content"].partition("A user")[2] == prompt["content"].partition("A user")[2]


@pytest.mark.parametrize("scale", [STARS, HALVES, Scale(0, 1, 1), Scale(-10, 10)], ids=str)
def test_the_rating_example_is_answered_in_the_form_on_any_scale(scale):
    asked, answered, prompt = rating_messages(EXAMPLE, CATALOG, WORDS, scale, "brief")
    parsed = parse_rating(answered["content"], scale)
    assert parsed.problem is None and scale.contains(parsed.rating)
    assert asked["role"] == "user" and str(scale) in asked["content"]
    assert [prompt] == rating_messages(EXAMPLE, CATALOG, WORDS, scale, "instruct")


def test_the_rating_example_is_the_same_for_every_user_and_has_each_tag_once():
    asked, *_ = rating_messages(EXAMPLE, CATALOG, WORDS, STARS, "brief")
    assert all(asked["content"].count(tag) == 1 for tag in TAGS)
    assert "The Quiet Harbour" not in asked["content"] and "[The Long Road] 2: Too long" in asked["content"]
