"""Conditions on events."""

import pytest

from reckon.errors import ConfigError
from reckon.serving.store.conditions import Condition, meets


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("purchase", Condition("purchase")),
        (" add_to-cart ", Condition("add_to-cart")),
        ("rating>=4", Condition("rating", ">=", 4.0)),
        ("rating <= 2.5", Condition("rating", "<=", 2.5)),
        ("rating>-1", Condition("rating", ">", -1.0)),
        ("rating<1e3", Condition("rating", "<", 1000.0)),
        ("rating==4", Condition("rating", "=", 4.0)),
        ("rating=4", Condition("rating", "=", 4.0)),
        ("rating!=4", Condition("rating", "!=", 4.0)),
    ],
)
def test_a_condition_is_read_from_its_text_and_written_back(text, condition):
    assert Condition.parse(text) == condition
    assert Condition.parse(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "no event type"),
        (">=4", "no event type"),
        ("rating>=", "no event type"),
        ("rating=>4", "no event type"),
        ("rating>=four", "'four' is no number"),
        ("rating>=nan", "must be finite"),
        ("rating>=4 or 1", "no event type"),
        ("two words", "no event type"),
    ],
)
def test_another_text_is_refused_with_the_setting_the_text_and_the_rule(text, rule):
    with pytest.raises(ConfigError, match=rule) as caught:
        Condition.parse(text, "serving.counts")
    assert "serving.counts" in str(caught.value) and repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("rating", [True, True, True]),
        ("view", [False, False, False]),
        ("rating>=4", [False, True, False]),
        ("rating<4", [True, False, False]),
        ("rating!=4", [True, False, False]),
    ],
)
def test_an_event_without_a_value_meets_no_comparison(event, condition, met):
    ratings = [event(f"e{value}", type="rating", value=value) for value in (3.0, 4.0, None)]
    assert [Condition.parse(condition).matches(rating) for rating in ratings] == met


def test_one_of_several_conditions_is_enough(event):
    conditions = [Condition("purchase"), Condition("view")]
    assert meets(event("e"), conditions)
    assert meets(event("e", type="other"), None)
    assert not meets(event("e", type="other"), conditions)
    assert not meets(event("e"), [])
