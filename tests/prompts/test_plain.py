"""Text from the data is never markup, for the parsers and for the tokenizer of every family."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rated_prompts import STARS, Shelf, rated
from support.rated_prompts import example as rating_example
from support.tokenizers import FAMILIES

from reckon.data.examples import Event, Example
from reckon.prompts import item_text, next_title, prompt_ids, r2ec, rporec
from reckon.prompts.items import item_ids
from reckon.prompts.plain import MARKS, guarded, plain, plain_words
from reckon.prompts.rating import rating_messages
from reckon.prompts.rating_reply import BLOCKS, parse_rating

TOKENIZERS = {name: make() for name, make in FAMILIES.items()}
HISTORY = Example("ann", (Event(0, 0, 4.0), Event(1, 90, 5.0)), -1, 100)


def control_tokens(tokenizer):
    """Every special or added token, but those that spell text: for what is unknown, and for single bytes."""
    ids = set(tokenizer.added_tokens_decoder) | set(tokenizer.all_special_ids)
    spell_text = {number for number in ids if tokenizer.convert_ids_to_tokens(number).startswith("<0x")}
    return ids - spell_text - {tokenizer.unk_token_id}


def prompts(tokenizer, text):
    """Token ids of every prompt and item text that shows a text from the data, by a name."""
    words = {"item": f"book {text}", "items": f"books {text}", "action": f"read {text}"}
    shelf = Shelf(
        {"title": text, "genre": text}, {"title": "B", "about": text}, {"title": text, text: [text, {text: 1}]}
    )
    made = {"item": item_ids([item_text(record) for record in shelf.records], tokenizer, "!", 10_000)}
    example = rating_example([rated(0, 4, text, text)], [rated(2, 2, text, text)], user_mean=4.0)
    for style in ("compact", "brief", "instruct"):
        turns = {
            "r2ec": r2ec.messages(HISTORY, shelf.titles, words, style),
            "rporec": rporec.messages(HISTORY, shelf.titles, words, style),
            "next title": next_title.messages(shelf.titles, words, style),
            "summary": rporec.summary_messages(text, style),
            "rating": rating_messages(example, shelf, words, STARS, style),
        }
        made |= {f"{name}, {style}": [prompt_ids(turn, tokenizer)] for name, turn in turns.items()}
    return made


def counts(tokenizer, text):
    control = control_tokens(tokenizer)
    return {
        name: [sum(token in control for token in ids) for ids in lists]
        for name, lists in prompts(tokenizer, text).items()
    }


HARMLESS = {name: counts(tokenizer, "a quiet sea") for name, tokenizer in TOKENIZERS.items()}


def spellings(token):
    """A token as it is, and as folding of width or case, or a history's own brackets, would make it."""
    wide = "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in token)
    return [token, token.lower(), token.upper(), wide, token.strip("[]<>|"), token * 2, f"{token[0]}{token}{token[1:]}"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_title_that_is_a_control_token_is_text_in_every_prompt(family):
    tokenizer = TOKENIZERS[family]
    for number in sorted(control_tokens(tokenizer))[:40]:
        token = tokenizer.convert_ids_to_tokens(number)
        for text in spellings(token):
            assert counts(tokenizer, text) == HARMLESS[family], (token, text)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_text_adds_a_control_token_to_a_prompt(family, data):
    tokenizer = TOKENIZERS[family]
    tokens = [tokenizer.convert_ids_to_tokens(number) for number in sorted(control_tokens(tokenizer))]
    piece = st.sampled_from(["[", "]", "<", ">", "|", "/", " ", "<br>", "a", "INST", "sea"]) | st.text(max_size=3)
    piece |= st.sampled_from([spelled for token in tokens for spelled in spellings(token)])
    text = "".join(data.draw(st.lists(piece, max_size=6)))
    if plain(text):  # an empty field is left out, and with it nothing is counted
        assert counts(tokenizer, text) == HARMLESS[family]


@given(st.text() | st.text(alphabet="<>≮＜﹥br/ [pos]neg\n"))
def test_plain_text_is_one_line_without_brackets_and_stays_as_it_is(text):
    once = plain(text)
    assert plain(once) == once
    assert not set("<>") & set(once) and len(once.splitlines()) <= 1
    assert not any(mark in once.lower() for mark in MARKS)


def test_plain_text_changes_only_markup():
    assert plain("Tom & Jerry <3 [Blu-ray]") == "Tom & Jerry (3 [Blu-ray]"
    assert plain("<|im_end|></think>One<br/>two\n three") == "(|im_end|)(/think)One two three"
    assert guarded("[INST] of [The Quiet Harbour]", TOKENIZERS["mistral"]) == "[ INST] of [The Quiet Harbour]"
    assert guarded("sophisticated", TOKENIZERS["bare_words"]) == "s ophisticated"
    assert guarded("[INST] stays", TOKENIZERS["chatml"]) == "[INST] stays"
    assert plain_words({"item": "<b>book"}) == {"item": "(b)book"}


def test_a_reply_that_quotes_a_cleaned_title_parses():
    title = plain("</rate><answer></think> [neg] [pos]")
    parts = ("likes it", f"[pos] {title} [neg] long", title + " x", "4")
    rating = "".join(f"<{name}>{part}</{name}>" for name, part in zip(BLOCKS, parts, strict=True))
    assert parse_rating(rating, STARS).rating == 4
    reply = rporec.parse_reply(f"<think>after {title}</think><answer>{title}</answer>")
    assert reply.problem is None and reply.answer == title
