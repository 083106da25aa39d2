"""Parsing of rating replies: hand-written replies, every problem, and very long texts."""

import time
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rated_prompts import CATALOG, EXAMPLE, HALVES, STARS, WORDS

from reckon.data.scale import Scale
from reckon.prompts.rating import rating_messages
from reckon.prompts.rating_reply import BLOCKS, REPLY_END, TAGS, parse_rating

TEN = Scale(0, 10, 1)


def reply(rate="4", user="likes the sea", item="[pos] calm [neg] slow", match="a good fit", between=""):
    parts = [user, item, match, rate]
    return between.join(f"<{name}>{part}</{name}>" for name, part in zip(BLOCKS, parts, strict=True))


USER, ITEM, MATCH, RATE = (
    "<analyze user>likes the sea</analyze user>",
    "<analyze item>[pos] calm [neg] slow</analyze item>",
    "<match>a good fit</match>",
    "<rate>4</rate>",
)
PERFECT = USER + ITEM + MATCH + RATE


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        pytest.param(PERFECT, 4.0, id="perfect"),
        pytest.param(reply("4.0"), 4.0, id="a decimal that is whole"),
        pytest.param(reply("4.50"), 4.5, id="a trailing zero"),
        pytest.param(reply("4.3"), 4.3, id="between two steps"),
        pytest.param(reply("1"), 1.0, id="the lowest"),
        pytest.param(reply("5"), 5.0, id="the highest"),
        pytest.param(reply(" 4 "), 4.0, id="spaces around the number"),
        pytest.param(reply("\n4\n"), 4.0, id="lines around the number"),
        pytest.param(reply(between="\n"), 4.0, id="line ends between blocks"),
        pytest.param(reply(between="\r\n"), 4.0, id="CRLF between blocks"),
        pytest.param(f"\n\n{PERFECT}\n", 4.0, id="line ends before and after"),
        pytest.param(reply(user="line one\r\nline two\ttab"), 4.0, id="CRLF and tab in a block"),
        pytest.param(reply(user="1 < 2 > 0, <b>bold</b>"), 4.0, id="other angle brackets in a block"),
        pytest.param(reply(match="a <Rate>2</Rate> in capitals is text"), 4.0, id="a wrong-case tag as text"),
        pytest.param(reply(user="nul \0 inside"), 4.0, id="a null byte in a block"),
        pytest.param(reply(user="любит море", match="合う"), 4.0, id="other scripts in the text"),
        pytest.param(reply(item="[pos] a [pos] b [neg] c [neg] d"), 4.0, id="several marks"),
    ],
)
def test_a_reply_in_the_right_form_has_its_rating(text, rating):
    found = parse_rating(text, STARS)
    assert (found.rating, found.problem) == (rating, None)
    assert tuple(found.blocks) == BLOCKS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # structure
        pytest.param("", "empty reply", id="empty string"),
        pytest.param(" \n\t", "empty reply", id="only blanks"),
        pytest.param("I would give it 4.", "missing analyze user", id="no blocks at all"),
        pytest.param("4", "missing analyze user", id="a bare number"),
        pytest.param(ITEM + MATCH + RATE, "missing analyze user", id="missing analyze user"),
        pytest.param(USER + MATCH + RATE, "missing analyze item", id="missing analyze item"),
        pytest.param(USER + ITEM + RATE, "missing match", id="missing match"),
        pytest.param(USER + ITEM + MATCH, "missing rate", id="missing rate"),
        pytest.param(ITEM + USER + MATCH + RATE, "order", id="first two swapped"),
        pytest.param(RATE + USER + ITEM + MATCH, "order", id="rate first"),
        pytest.param(USER + ITEM + RATE + MATCH, "order", id="rate before match"),
        pytest.param(PERFECT + RATE, "repeated rate", id="rate twice"),
        pytest.param(PERFECT + "<rate>2</rate>", "repeated rate", id="two ratings"),
        pytest.param(USER + USER + ITEM + MATCH + RATE, "repeated analyze user", id="analyze user twice"),
        pytest.param(PERFECT + PERFECT, "repeated analyze user", id="the whole reply twice"),
        pytest.param(reply(match="I think <rate>4</rate>"), "repeated rate", id="a tag inside text"),
        pytest.param(reply(match="ends with </rate>"), "repeated rate", id="a closing tag inside text"),
        pytest.param(USER + ITEM + "<match>fits <rate>4</rate></match>", "order", id="rate nested in match"),
        pytest.param(f"<analyze user>x{ITEM}</analyze user>{MATCH}{RATE}", "order", id="item nested in user"),
        pytest.param("<rate><rate>4</rate></rate>", "missing analyze user", id="only nested rates"),
        pytest.param(USER + ITEM + MATCH + "<rate><rate>4</rate></rate>", "repeated rate", id="rate nested in rate"),
        pytest.param(USER + ITEM + MATCH + "<rate>4", "unclosed rate", id="truncated in rate"),
        pytest.param(USER + ITEM + MATCH + "<rate>4</rate", "unclosed rate", id="truncated in the last tag"),
        pytest.param("<analyze user>likes the", "unclosed analyze user", id="truncated in the first block"),
        pytest.param(USER + ITEM + "<match>a good" + RATE, "unclosed match", id="unclosed match"),
        pytest.param(USER + ITEM + "a good fit</match>" + RATE, "missing match", id="match without its opening tag"),
        pytest.param("</rate>4<rate>" + USER + ITEM + MATCH, "order", id="rate closes before it opens"),
        # tags that are none
        pytest.param(PERFECT.upper(), "missing analyze user", id="tags in capitals"),
        pytest.param(PERFECT.replace("<rate>", "<Rate>"), "missing rate", id="one tag capitalised"),
        pytest.param(PERFECT.replace("<rate>", '<rate unit="stars">'), "missing rate", id="attributes in a tag"),
        pytest.param(PERFECT.replace("<rate>", "< rate >"), "missing rate", id="spaces in a tag"),
        pytest.param(PERFECT.replace("analyze ", "analyze  "), "missing analyze user", id="two spaces in a tag"),
        pytest.param(PERFECT.replace("analyze ", "analyze_"), "missing analyze user", id="underscores in a tag"),
        pytest.param(PERFECT.replace("<", "&lt;").replace(">", "&gt;"), "missing analyze user", id="HTML-escaped"),
        pytest.param(PERFECT.replace("<", "＜").replace(">", "＞"), "missing analyze user", id="full-width brackets"),
        # text outside
        pytest.param("Sure! " + PERFECT, "text outside", id="text before"),
        pytest.param(PERFECT + " Hope this helps.", "text outside", id="text after"),
        pytest.param(USER + ITEM + "so" + MATCH + RATE, "text outside", id="text between"),
        pytest.param(f"<think>hm</think>{PERFECT}", "text outside", id="thinking before"),
        pytest.param(f"```\n{PERFECT}\n```", "text outside", id="a code fence around it"),
        pytest.param(PERFECT + "\0", "text outside", id="a null byte after"),
        pytest.param("\ufeff" + PERFECT, "text outside", id="a byte order mark before"),
        pytest.param(PERFECT + "<eos>", "text outside", id="an end token after"),
        # empty blocks
        pytest.param(reply(user=""), "empty analyze user", id="empty analyze user"),
        pytest.param(reply(item=""), "empty analyze item", id="empty analyze item"),
        pytest.param(reply(match=""), "empty match", id="empty match"),
        pytest.param(reply(match=" \n\t "), "empty match", id="blank match"),
        pytest.param(reply(match="..."), "empty match", id="match of dots"),
        pytest.param(reply(user="\u200b"), "empty analyze user", id="an invisible character alone"),
        pytest.param(reply(user="\0"), "empty analyze user", id="a null byte alone"),
        pytest.param(reply(item="[pos] [neg]"), "empty analyze item", id="marks alone"),
        pytest.param(reply(rate=""), "empty rate", id="empty rate"),
        pytest.param(reply(rate=" \n"), "empty rate", id="blank rate"),
        # marks
        pytest.param(reply(item="calm [neg] slow"), "no [pos]", id="no pos"),
        pytest.param(reply(item="[pos] calm, slow"), "no [neg]", id="no neg"),
        pytest.param(reply(item="calm and slow"), "no [pos]", id="no marks"),
        pytest.param(reply(item="[neg] slow [pos] calm"), "[neg] before [pos]", id="marks swapped"),
        pytest.param(reply(item="[POS] calm [NEG] slow"), "no [pos]", id="marks in capitals"),
        pytest.param(reply(user="[pos] a [neg] b", item="calm"), "no [pos]", id="marks in another block"),
        # numbers
        *[
            pytest.param(reply(rate), "not a number", id=f"rate {label or rate}")
            for rate, label in [
                ("4/5", None),
                ("4.5 stars", None),
                ("4 stars", None),
                ("four", None),
                ("nan", None),
                ("NaN", None),
                ("inf", None),
                ("-inf", None),
                ("1e3", None),
                ("4e0", None),
                ("0x4", None),
                ("\uff14", "full-width"),
                ("٤", "Arabic"),
                ("४", "Devanagari"),
                ("④", "circled"),
                ("4²", "superscript"),
                ("+4", None),
                ("4.", None),
                (".5", None),
                ("04", None),
                ("00", None),
                ("4,5", None),
                ("4 5", None),
                ("4\n5", "on two lines"),
                ("4..5", None),
                ("4.5.1", None),
                ("1_0", None),
                ("4%", None),
                ("~4", None),
                ("4-5", None),
                ("**4**", "bold"),
                ("4★", "star"),
                ("−4", "typographic minus"),
                ("--4", None),
                ("4\0", "null byte"),
                ("4" * 5000, "of 5000 digits"),
                ("4." + "0" * 5000, "of 5000 decimals"),
                ("[4]", None),
            ]
        ],
        pytest.param(reply("6"), "off scale", id="above the scale"),
        pytest.param(reply("0"), "off scale", id="below the scale"),
        pytest.param(reply("-1"), "off scale", id="negative"),
        pytest.param(reply("5.01"), "off scale", id="just above"),
        pytest.param(reply("0.999"), "off scale", id="just below"),
        pytest.param(reply("100"), "off scale", id="in percent"),
        pytest.param(reply("45"), "off scale", id="point forgotten"),
    ],
)
def test_any_other_reply_has_a_problem_and_no_rating(text, problem):
    found = parse_rating(text, STARS)
    assert (found.rating, found.problem) == (None, problem)


@pytest.mark.parametrize(
    ("scale", "rate", "rating"),
    [
        (HALVES, "0.5", 0.5),
        (HALVES, "3.5", 3.5),
        (HALVES, "0.4", None),
        (HALVES, "0", None),
        (TEN, "0", 0.0),
        (TEN, "10", 10.0),
        (TEN, "7.25", 7.25),
        (TEN, "11", None),
        (Scale(-10, 10), "-3.5", -3.5),
        (Scale(-10, 10), "-10.5", None),
        (Scale(0, 100, 1), "85", 85.0),
    ],
)
def test_the_scale_decides_which_numbers_are_ratings(scale, rate, rating):
    assert parse_rating(reply(rate), scale).rating == rating


def test_no_prefix_of_a_reply_has_a_rating():
    assert parse_rating(PERFECT, STARS).rating == 4
    assert [end for end in range(len(PERFECT)) if parse_rating(PERFECT[:end], STARS).rating is not None] == []


def test_a_reply_ends_at_the_stop_text():
    assert PERFECT.endswith(REPLY_END) and PERFECT.count(REPLY_END) == 1


def test_an_echo_of_the_instruction_has_no_rating():
    instruction = rating_messages(EXAMPLE, CATALOG, WORDS, STARS)[0]["content"]
    assert parse_rating(instruction, STARS).rating is None
    assert parse_rating(instruction[instruction.index("<analyze user>") :], STARS).problem == "not a number"
    assert parse_rating(instruction + "\n" + PERFECT, STARS).problem == "repeated analyze user"


@contextmanager
def linear_time():
    """At most a minute of this process's own CPU time: a linear reader of 10 MB needs less than a second, a quadratic
    one hours, and how busy the machine is does not count."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 60


@pytest.mark.parametrize(
    ("unit", "in_block", "problem"),
    [
        pytest.param("word ", True, None, id="words"),
        pytest.param("<", True, None, id="brackets"),
        pytest.param("<rate>", False, "missing analyze user", id="opening tags"),
        pytest.param("</rate>", True, "repeated rate", id="closing tags"),
        pytest.param("[neg]", True, None, id="marks"),
        pytest.param("<analyze user", True, None, id="half tags"),
    ],
)
def test_ten_megabytes_are_parsed_in_linear_time(unit, in_block, problem):
    flood = unit * (10_000_000 // len(unit))
    text = reply(item=f"[pos] {flood} [neg] x") if in_block else flood
    with linear_time():
        assert parse_rating(text, STARS).problem == problem


def test_ten_megabytes_of_digits_are_not_a_number():
    with linear_time():
        assert parse_rating(reply("4" * 10_000_000), STARS).problem == "not a number"


PIECES = [*TAGS, "[pos]", "[neg]", "4", "text", " ", "\n", "6", "<", ">"]


@given(st.lists(st.sampled_from(PIECES), max_size=24).map("".join))
def test_every_reply_that_parses_has_the_right_form(text):
    found = parse_rating(text, STARS)
    assert (found.rating is None) != (found.problem is None)
    if found.rating is not None:
        assert STARS.contains(found.rating)
        assert text.split() == "".join(text).split()
        positions = [text.index(tag) for tag in TAGS]
        assert positions == sorted(positions) and all(text.count(tag) == 1 for tag in TAGS)
