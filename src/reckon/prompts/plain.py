"""Text from the data as plain text, without markup or control tokens.

Entry points: `plain` for one text (a title, a field, a review, a category word), `without_brackets` for text that keeps
its line breaks, `guarded` for a whole chat turn or item prompt with its tokenizer.

Only text for models is changed:

- an HTML line break becomes a space; every other angle bracket, and every character that Unicode normalisation maps to
  one, becomes a parenthesis. So no text holds `<|im_end|>`, `<answer>`, `</think>` or `<start_of_turn>`;
- the marks `[pos]` and `[neg]` of rating replies become `(pos)` and `(neg)`;
- a special or added token without angle brackets, such as `[INST]`, gets a space after its first character:
  `[ INST]`. This step reads the whole turn, because a title `INST` in the brackets of a history line also spells one.

Does not cut text: see `reckon.prompts.cutting`.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

MARKS = ("[pos]", "[neg]")
"""Marks in rating replies."""

LINE_BREAK = re.compile(r"<\s{0,3}/?\s{0,3}br\s{0,3}/?\s{0,3}>", re.IGNORECASE)
MARK = re.compile("|".join(map(re.escape, MARKS)), re.IGNORECASE)
LOOKALIKES = "≮≯﹤﹥＜＞"  # all other characters whose compatibility decomposition holds an angle bracket
PARENTHESES = str.maketrans(
    {char: "(" if "<" in unicodedata.normalize("NFKD", char) else ")" for char in "<>" + LOOKALIKES}
)
WORD_START = "\u2581"  # what SentencePiece writes for a space


def plain(text: str | None) -> str:
    """One line without markup; empty for None. `plain(plain(text)) == plain(text)`."""
    return " ".join(without_brackets(text).split())


def without_brackets(text: str | None) -> str:
    """The text without markup, with its line breaks; empty for None."""
    bare = LINE_BREAK.sub(" ", text or "").translate(PARENTHESES)
    return MARK.sub(lambda mark: f"({mark[0][1:-1]})", bare)


def plain_words(words: Mapping[str, str]) -> dict[str, str]:
    """Item and action words as plain text; they come from the data set."""
    return {name: plain(word) for name, word in words.items()}


def guarded(text: str, tokenizer: Any) -> str:
    """The text with every special or added token without angle brackets broken by a space.

    Tokens with angle brackets stay: `plain` has removed them from the data's text, so those left belong to the prompt.
    Added tokens that are plain words of the vocabulary stay, too.

    Args:
        text: content of a chat turn, or an item text.
        tokenizer: a Hugging Face tokenizer; for any other object the text is unchanged.
    """
    if not hasattr(tokenizer, "added_tokens_decoder"):
        return text
    tokens, normalizer = _tokens_to_break(tokenizer)
    if tokens is None:
        return text
    text = _broken(text, tokens)
    if normalizer is None:
        return text
    # Some tokens are matched in normalised text: a tokenizer that folds width and case reads `[ｃｌｓ]` as `[CLS]`.
    return "\n".join(_guarded_line(line, tokens, normalizer) for line in text.split("\n"))


def _guarded_line(line: str, tokens: re.Pattern[str], normalizer: Any) -> str:
    normal = normalizer.normalize_str(line)
    if not tokens.search(normal):
        return line
    return _broken(normal.replace(WORD_START, " ").strip(), tokens)


def _broken(text: str, tokens: re.Pattern[str]) -> str:
    """Break every token, and repeat while a break creates another token."""
    while tokens.search(text):
        text = tokens.sub(lambda found: f"{found[0][0]} {found[0][1:]}" if len(found[0]) > 1 else " ", text)
    return text


@lru_cache(maxsize=16)
def _tokens_to_break(tokenizer: Any) -> tuple[re.Pattern[str] | None, Any]:
    """Pattern of the tokens that plain text can spell, longest first, and the tokenizer's normaliser, if any."""
    normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
    spelled: set[str] = set()
    for token in tokenizer.added_tokens_decoder.values():
        forms = [token.content]
        if token.normalized and normalizer is not None:
            forms.append(normalizer.normalize_str(token.content))
        spelled.update(form for form in forms if _may_break(form, bool(token.special)))
    if not spelled:
        return None, None
    pattern = "|".join(map(re.escape, sorted(spelled, key=lambda form: (-len(form), form))))
    return re.compile(pattern), normalizer


def _may_break(token: str, special: bool) -> bool:
    """Whether plain text can spell the token, and it is neither a mark of rating replies nor a word of the
    vocabulary."""
    if not token.strip() or token in MARKS or any(bracket in token for bracket in "<>"):
        return False
    return special or (len(token) > 1 and not token.replace(" ", "").isalnum())
