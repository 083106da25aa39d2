"""Length limits of prompt text, in words and in tokens.

Entry points: `cut_words` and `word_ends` count words in any script, `cut_tokens` counts tokens, `PromptTitles` holds a
catalog's shortened titles. `least_that_fits` fits a prompt to its budget; `prompt_limit` is that budget for a model's
number of positions.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar, overload

from reckon.errors import ConfigError
from reckon.prompts.plain import guarded, plain

UNTITLED = "untitled"
LONGEST_WORD = 32  # characters of one word; a longer run without blanks counts as several words
LONGEST_TOKEN = 64  # most characters of plain text in one token
LEAST_LINE = 32  # tokens of a history line that a prompt must have room for
# Scripts written without blanks between words: Thai to Myanmar, Khmer, kana, Han, and Han beyond the first plane.
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
UNSPACED += "\uff66-\uff9f\U00020000-\U0003ffff"
WORD = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\s{UNSPACED}]{{1,{LONGEST_WORD}}}")


def word_ends(text: str) -> list[int]:
    """End position of each word. A word is a run without blanks of at most LONGEST_WORD characters; in scripts without
    blanks, two characters are a word."""
    return [word.end() for word in WORD.finditer(text)]


def cut_words(text: str, most: int) -> str:
    """The first `most` words of the text; empty for 0."""
    if len(text) <= most:
        return text
    end = 0
    for number, word in enumerate(WORD.finditer(text)):
        if number == most:
            return text[:end]
        end = word.end()
    return text


def cut_tokens(text: str, most: int, length: Callable[[str], int]) -> str:
    """The longest beginning of a text with at most `most` tokens, by binary search; the length of the result is
    measured.

    Args:
        text: the text.
        most: most tokens, >= 0.
        length: number of tokens of a text in its context, from the model's tokenizer.
    """
    text = text[: (most + 1) * LONGEST_TOKEN]
    if length(text) <= most:
        return text
    low, high = 0, len(text)  # `low` characters fit, or `low` is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if length(text[:middle].rstrip()) <= most else (low, middle)
    return text[:low].rstrip()


class Titles(Protocol):
    """Titles by item index."""

    def __getitem__(self, index: int, /) -> str: ...


class PromptTitles(Sequence[str]):
    """A catalog's titles as plain text within limits of words and tokens; each is computed on first use."""

    def __init__(self, titles: Sequence[str], tokenizer: Any, words: int, tokens: int) -> None:
        """
        Args:
            titles: titles of the catalog, by item index.
            tokenizer: the model's tokenizer.
            words: words kept of each title, > 0.
            tokens: most tokens of each title, > 0.
        """
        self._titles, self._tokenizer, self._words, self._tokens = titles, tokenizer, words, tokens
        self._shown: dict[int, tuple[str, bool]] = {}

    def __len__(self) -> int:
        return len(self._titles)

    @overload
    def __getitem__(self, index: int, /) -> str: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice, /) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        return self._of(index)[0]

    def is_cut(self, index: int) -> bool:
        """Whether a title was shortened."""
        return self._of(index)[1]

    def _of(self, index: int) -> tuple[str, bool]:
        if index not in self._shown:
            whole = plain(self._titles[index]) or UNTITLED
            kept = shortened(whole, self._words, self._tokens, self._tokenizer)
            self._shown[index] = kept, kept != whole
        return self._shown[index]


def shortened(text: str, words: int, tokens: int, tokenizer: Any) -> str:
    """A plain text within limits of words and tokens; at least one character."""
    kept = cut_words(text, words)
    if len(kept.encode()) <= tokens:  # a token spells at least one byte
        return kept
    return cut_tokens(kept, tokens, lambda part: token_count(part, tokenizer)) or kept[:1]


def token_count(text: str, tokenizer: Any) -> int:
    """Number of tokens of a text, without a start token."""
    return len(tokenizer.encode(guarded(text, tokenizer), add_special_tokens=False))


class Measured(Protocol):
    """A prompt with token ids."""

    @property
    def ids(self) -> list[int]:
        """[P] tokens."""


Fitted = TypeVar("Fitted", bound=Measured)


def least_that_fits(attempt: Callable[[int], Fitted], levels: int, most: int) -> Fitted:
    """The longest of ever shorter prompts that has at most `most` tokens, by binary search; the shortest where none
    fits.

    A higher level has fewer tokens, except for rare merges across a cut, which may cost one level too many. The length
    of the result is measured.

    Args:
        attempt: makes the prompt of a level from 0 (whole) to `levels` (shortest).
        levels: >= 0.
        most: most tokens.
    """
    best = attempt(0)
    if len(best.ids) <= most or levels == 0:
        return best
    low, high, best = 0, levels, attempt(levels)
    if len(best.ids) > most:
        return best
    while high - low > 1:
        middle = (low + high) // 2
        tried = attempt(middle)
        if len(tried.ids) <= most:
            high, best = middle, tried
        else:
            low = middle
    return best


def prompt_limit(
    max_tokens: int, positions: int | None, reply: int, bare: int, reply_setting: str, room: int = LEAST_LINE
) -> int:
    """Most tokens of a prompt: `max_tokens`, or fewer where the model's positions must also hold a reply.

    Args:
        max_tokens: the setting `prompt.max_tokens`.
        positions: number of positions of the model (`max_position_embeddings`); None: no limit.
        reply: most tokens after the prompt, an appended marker included.
        bare: tokens of the prompt without a history, which are never cut.
        reply_setting: name of the setting for the length of replies.
        room: least tokens beside `bare`, for one history line or a shortened item.

    Raises:
        ConfigError: the instruction and one short history line do not fit.
    """
    need = bare + room
    if max_tokens < need:
        raise ConfigError(
            "prompt.max_tokens", max_tokens, f"the instruction and one line need {need} tokens", f"set it to {need}"
        )
    if positions is None or positions - reply >= max_tokens:
        return max_tokens
    if positions - reply < need:
        raise ConfigError(
            reply_setting,
            reply,
            f"a reply of so many tokens and the shortest prompt ({need}) exceed the model's {positions} positions",
            f"set it to {positions - need} or less, or use a model that reads more"
            if positions > need
            else "use a model that reads more",
        )
    return positions - reply
