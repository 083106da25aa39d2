"""Word limits in every script, token limits, and counts of cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import tokenizer

from reckon.errors import ConfigError
from reckon.prompts.cutting import LEAST_LINE, PromptTitles, cut_tokens, cut_words, prompt_limit, shortened, token_count
from reckon.prompts.items import item_ids, item_text

CHINESE = "红楼梦是一部小说" * 50


@given(st.lists(st.text("abcé-'1", min_size=1, max_size=9), max_size=9), st.integers(0, 9))
def test_words_between_blanks_are_kept_as_they_are(words, most):
    assert cut_words(" ".join(words), most) == " ".join(words[:most])


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        pytest.param(CHINESE, 4, CHINESE[:8], id="Chinese"),
        pytest.param("ルビーの指環 LP record", 4, "ルビーの指環 LP", id="Japanese and Latin"),
        pytest.param("สวัสดีชาวโลก" * 9, 3, "สวัสดี", id="Thai"),
        pytest.param("한국어 소설 모음", 2, "한국어 소설", id="Korean, with blanks"),
        pytest.param("x" * 10_000, 3, "x" * 96, id="one long run"),
    ],
)
def test_scripts_and_runs_without_blanks_are_cut_into_words(text, most, kept):
    assert cut_words(text, most) == kept


@given(st.text(max_size=60), st.integers(1, 30))
def test_a_text_within_tokens_is_a_beginning_that_was_measured(text, most):
    count = tokenizer().encode
    kept = cut_tokens(text, most, lambda part: len(count(part)))
    assert len(count(kept)) <= most and text.startswith(kept)


def test_titles_are_plain_within_both_limits_and_report_cuts():
    fast = tokenizer()
    titles = PromptTitles(["Calm <Sea>", "a b c d e", CHINESE, "", "x" * 10_000], fast, 4, 12)
    assert list(titles)[:2] == ["Calm (Sea)", "a b c d"] and titles[3] == "untitled"
    assert all(token_count(title, fast) <= 12 for title in titles)
    assert [titles.is_cut(index) for index in range(5)] == [False, True, True, False, True]
    assert shortened("漢", 1, 1, fast) == "漢"  # never nothing


def test_an_item_prompt_keeps_its_end_within_its_tokens():
    texts = ["Calm Sea. genre: sea", CHINESE, "x " * 5_000]
    for most in (10, 40, 512):
        for ids in item_ids(texts, tokenizer(), "<answer>", most):
            assert len(ids) <= most and ids[-1] == tokenizer().encode("<answer>")[0]
    assert item_ids(texts[:1], tokenizer(), "<answer>", 512)[0] == tokenizer().encode("Calm Sea. genre: sea<answer>")


def test_lists_and_records_in_fields_read_as_text():
    record = {
        "item_id": "b1",
        "title": "Calm Sea",
        "description": '["A quiet book.", "About \\"tides\\" & ships"]',
        "details": '{"Pages": 210, "Format": ["Paper", null, ""], "None": {}}',
        "categories": ["Books", ["Sea", None]],
        "made": {"year": 1999},
        "odd": "[REC] is a film]",
        "deep": "[" * 5_000 + "]" * 5_000,
        "empty": "[]",
        "price": 4.50,
    }
    assert item_text(record, 80).partition(". deep")[0] == (
        'Calm Sea. description: A quiet book., About "tides" & ships. details: Pages: 210, Format: Paper. '
        "categories: Books, Sea. made: year: 1999. odd: [REC] is a film]"
    )
    assert "empty" not in item_text(record, 1_000) and item_text(record, 1_000).endswith("price: 4.5")


def test_64_words_of_chinese_are_128_characters():
    text = item_text({"title": "T", "about": CHINESE}, 64)
    assert len(text.partition("about: ")[2]) == 126  # `about:` is a word


LIMITED = dict(bare=20, reply_setting="rollout.max_completion_length")


@pytest.mark.parametrize(
    ("most", "positions", "reply", "limit"),
    [
        pytest.param(2048, None, 512, 2048, id="no positions"),
        pytest.param(2048, 32_768, 512, 2048, id="many positions"),
        pytest.param(2048, 256, 50, 206, id="few positions"),
        pytest.param(2048, 50 + 20 + LEAST_LINE, 50, 20 + LEAST_LINE, id="fewest positions"),
    ],
)
def test_a_prompt_may_use_all_positions_beside_the_reply(most, positions, reply, limit):
    assert prompt_limit(most, positions, reply, **LIMITED) == limit


@pytest.mark.parametrize(
    ("most", "reply", "message"),
    [
        (2048, 512, r"rollout\.max_completion_length = 512: .*256 positions.*set it to 204"),
        (30, 50, r"prompt\.max_tokens = 30: the instruction and one line need 52"),
    ],
)
def test_limits_without_room_for_one_history_line_are_refused(most, reply, message):
    with pytest.raises(ConfigError, match=message):
        prompt_limit(most, 256, reply, **LIMITED)
