"""RPORec's prompts and its strict parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reckon.data.examples import Event, Example
from reckon.prompts.render import render
from reckon.prompts.rporec import (
    TAGS,
    history_text,
    messages,
    outside_characters,
    parse_reply,
    summary_messages,
)

RIGHT = "<think>after sea comes crime</think><answer>Dark Crime, a book</answer>"
WORDS = {"item": "book", "items": "books", "action": "read"}
TITLES = ["The Quiet Harbour", "Calm Sea"]
EXAMPLE = Example("ann", (Event(0, 0, 4.0), Event(1, 86_400, None)), target=1, time=3 * 86_400)


def test_a_reply_of_the_right_form_has_both_parts_without_blanks_around_them():
    parsed = parse_reply(" <think>\n after sea comes crime </think>\n<answer>Dark Crime, a book </answer>\n")
    assert (parsed.reasoning, parsed.answer) == ("after sea comes crime", "Dark Crime, a book")
    assert (parsed.problem, parsed.outside) == (None, 3)


BROKEN = {
    "": ("empty reply", "", 0),
    "   ": ("empty reply", "", 3),
    "Dark Crime": ("missing think", "Dark Crime", 10),
    "<answer>b</answer><think>a</think>": ("order", "a", 0),
    "<think>a</think><answer>b</answer><answer>c</answer>": ("repeated answer", "a", 0),
    "<think>a</think><think>b</think><answer>c</answer>": ("repeated think", "a", 0),
    "<think>a<answer>b</answer></think>": ("order", "a", 0),
    "<think>after sea com": ("unclosed think", "after sea com", 20),
    "<think>a</think><answer>b": ("unclosed answer", "a", 9),
    "<think>a</think>": ("missing answer", "a", 0),
    "<think></think><answer>b</answer>": ("empty think", "", 0),
    "<think> … </think><answer>b</answer>": ("empty think", "…", 0),
    "<think>a</think><answer> \n</answer>": ("empty answer", "a", 0),
    "well <think>a</think><answer>b</answer>": ("text outside", "a", 5),
    "<Think>a</Think><answer>b</answer>": ("missing think", "<Think>a</Think>", 16),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.items(), ids=[repr(text) for text in BROKEN])
def test_a_broken_reply_has_a_problem_no_answer_and_a_shown_reasoning(text, expected):
    parsed = parse_reply(text)
    assert (parsed.problem, parsed.reasoning, parsed.outside) == expected
    assert parsed.answer == ""


def test_text_in_any_script_is_reasoning_and_counts_characters_not_bytes():
    parsed = parse_reply("<think>海のあとは犯罪</think> — <answer>暗い犯罪</answer>")
    assert (parsed.problem, parsed.reasoning, parsed.outside) == ("text outside", "海のあとは犯罪", 3)
    assert parse_reply("<think>海のあとは犯罪</think><answer>暗い犯罪</answer>").answer == "暗い犯罪"


@given(st.lists(st.sampled_from([*TAGS, "a", " ", "é"]), max_size=12).map("".join))
def test_characters_outside_are_what_removing_the_closed_blocks_leaves(text):
    import re

    assert outside_characters(text) == len(re.sub(r"<(think|answer)>.*?</\1>", "", text, flags=re.DOTALL))


def test_a_long_broken_reply_is_parsed_in_linear_time():
    assert outside_characters("<think><answer>" * 100_000) == 1_500_000
    assert outside_characters("<think></think> " * 100_000 + "<answer>") == 100_008


@pytest.mark.parametrize("style", ["instruct", "brief", "compact"])
def test_the_prompt_shows_the_history_oldest_first_and_never_the_target(style):
    text = messages(EXAMPLE, TITLES, WORDS, style)[-1]["content"]
    assert text.index("3 days ago: [The Quiet Harbour] (4)") < text.index("2 days ago: [Calm Sea]")
    assert text == messages(Example("ann", EXAMPLE.history, 0, EXAMPLE.time), TITLES, WORDS, style)[-1]["content"]
    assert "nothing yet" in messages(Example("bob", (), 0, None), TITLES, WORDS, style)[-1]["content"]


def test_the_compact_prompt_is_what_small_backbones_are_pretrained_on():
    history = (Event(0, None, None), Event(1, None, None))
    prompt = render(messages(Example("ann", history, 0, None), TITLES, WORDS, "compact"), tokenizer=None)
    assert prompt == "read:\n[The Quiet Harbour]\n[Calm Sea]\nnext:\n"
    assert render(summary_messages("a b", "compact"), tokenizer=None) == "reasoning:\na b\nsummary:\n"


def test_instructions_name_the_blocks_and_the_reasoning_to_summarise():
    assert all(tag in messages(EXAMPLE, TITLES, WORDS)[0]["content"] for tag in TAGS)
    assert "after sea comes crime" in summary_messages("after sea comes crime")[0]["content"]


def test_the_history_text_holds_only_titles():
    assert history_text(EXAMPLE, TITLES) == "The Quiet Harbour; Calm Sea"
    assert history_text(Example("bob", (), 0, None), TITLES) == ""
