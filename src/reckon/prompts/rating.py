"""The rating prompt: earlier ratings of the user and of the item, the item, the instruction.

Entry points: `rating_messages` for the whole prompt, `fitted_prompt` for a prompt within a token budget. The reply is
in `reckon.prompts.rating_reply`. Three styles, as in `reckon.prompts.r2ec`: `instruct` is RecZero's instruction in our
own words, `brief` puts an answered example before it, `compact` is for small backbones.

Text from the data cannot act as markup (`reckon.prompts.plain`), and a review is one line.

Knows nothing of sampling and rewards.

Source: RecZero (arXiv 2510.23077) section 3, prompt template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reckon.data.ratings import Rated, RatingExample
from reckon.data.scale import Scale
from reckon.errors import ConfigError
from reckon.prompts.cutting import UNTITLED, cut_words, least_that_fits, shortened, word_ends
from reckon.prompts.items import item_text
from reckon.prompts.plain import plain, plain_words
from reckon.prompts.rating_reply import BAD, BLOCKS, GOOD
from reckon.prompts.render import Message, prompt_ids, render, rendered_ids
from reckon.prompts.style import Style

REVIEW_WORDS, ITEM_WORDS, TITLE_WORDS = 64, 64, 32
ITEM_TOKENS, TITLE_TOKENS = 512, 128
LEAST_ITEM = 2  # least characters of the item's text
LEAST_ITEM_TOKENS = 16  # their tokens: item text and title, four bytes per character
NOTHING = "nothing yet"


class Items(Protocol):
    """The part of a `Catalog` that prompts read."""

    @property
    def titles(self) -> Sequence[str]:
        """Titles by item index."""

    def record(self, index: int) -> Mapping[str, Any]:
        """All columns of one item, in the file's column order."""


@dataclass(frozen=True, slots=True)
class FittedPrompt:
    """A prompt within its token budget, and counts of what was cut."""

    messages: list[Message]
    text: str
    """The rendered prompt; it ends where the reply begins."""
    ids: list[int]
    """[P] token ids of `text`, with the tokenizer's start token where the chat template has none."""
    dropped_reviews: int
    """Number of dropped earlier ratings, of the user or of others."""
    cut_texts: int
    """Number of earlier ratings with a shortened review."""
    cut_titles: int = 0
    """Number of shortened titles, of earlier ratings and of the item."""


def rating_messages(
    example: RatingExample,
    catalog: Items,
    words: Mapping[str, str],
    scale: Scale,
    style: Style = "instruct",
    *,
    review_words: int = REVIEW_WORDS,
    item_review_words: int | None = None,
    item_words: int = ITEM_WORDS,
    title_words: int = TITLE_WORDS,
) -> list[Message]:
    """One user turn: the user's earlier ratings, the item, others' earlier ratings of it, and the instruction; in the
    style `brief` after an answered example.

    Args:
        example: its histories, means and item are read; the target rating never reaches the prompt.
        catalog: titles and columns of the items.
        words: names of items and actions: `item`, `items`, `action` (past tense).
        scale: shown in the instruction of the styles `instruct` and `brief`.
        style: `instruct` and `brief` show summary and text of a review; `compact` the summary, or the text where there
            is none.
        review_words: words kept of each review, >= 0; 0 shows only the ratings.
        item_review_words: words kept of each review by others, >= 0; None: `review_words`.
        item_words: words kept of the item's other columns after its title, >= 0.
        title_words: words kept of each title in the history, > 0; the item's own title is not cut here.
    """
    others_words = review_words if item_review_words is None else item_review_words
    parts = _parts(example, catalog, words, scale, style, review_words, others_words, item_words, title_words)
    return parts.messages(max(review_words, others_words), len(parts.user), len(parts.others))


def fitted_prompt(
    example: RatingExample,
    catalog: Items,
    words: Mapping[str, str],
    scale: Scale,
    tokenizer: Any,
    *,
    style: Style = "instruct",
    max_tokens: int,
    review_words: int = REVIEW_WORDS,
    item_review_words: int | None = None,
    item_words: int = ITEM_WORDS,
    title_words: int = TITLE_WORDS,
    item_tokens: int = ITEM_TOKENS,
    title_tokens: int = TITLE_TOKENS,
) -> FittedPrompt:
    """The prompt of `rating_messages`, shortened to `max_tokens`.

    Shortening goes only as far as needed, in this order: fewer words of all reviews, down to none; others' ratings of
    the item are dropped, oldest first; the user's ratings are dropped, oldest first; the item's text is cut to no less
    than LEAST_ITEM characters. The means and the instruction are never cut. `nothing yet` appears only where there are
    no earlier ratings, not where all were dropped.

    Args:
        tokenizer: a Hugging Face tokenizer; its chat template is used where it has one.
        max_tokens: most tokens of the prompt, start token included.
        item_tokens, title_tokens: most tokens of the item's text, and of each title, > 0. example, catalog, words,
        scale, style, review_words, item_review_words, item_words, title_words: as in
            `rating_messages`.

    Raises:
        ConfigError: item and instruction alone do not fit.
    """
    others_words = review_words if item_review_words is None else item_review_words
    parts = _parts(example, catalog, words, scale, style, review_words, others_words, item_words, title_words)
    parts = parts.within(tokenizer, item_tokens, title_tokens)
    longest = max((len(line.ends) for line in (*parts.user, *parts.others)), default=0)
    earlier, of_item = len(parts.user) + len(parts.others), max(len(parts.item), len(parts.title))

    def attempt(level: int) -> FittedPrompt:
        """The prompt of a level: level 0 is whole; each further level drops one word of all reviews, then one earlier
        rating, then one character of the item's text and title."""
        kept_words = max(longest - level, 0)
        dropped = min(max(level - longest, 0), earlier)
        dropped_others = min(dropped, len(parts.others))
        user = len(parts.user) - (dropped - dropped_others)
        others = len(parts.others) - dropped_others
        shown = parts.beginning(of_item - max(level - longest - earlier, 0))
        turns = shown.messages(kept_words, user, others)
        text = render(turns, tokenizer)
        lines = (*shown.user[len(shown.user) - user :], *shown.others[len(shown.others) - others :])
        return FittedPrompt(
            turns,
            text,
            rendered_ids(text, tokenizer),
            dropped,
            sum(len(line.ends) > kept_words for line in lines),
            sum(line.cut_title for line in lines) + (shown.title != shown.whole_title),
        )

    fitted = least_that_fits(attempt, longest + earlier + max(of_item - LEAST_ITEM, 0), max_tokens)
    if len(fitted.ids) > max_tokens:
        raise ConfigError(
            "prompt.max_tokens",
            max_tokens,
            f"the instruction and the item {parts.title!r} alone need {len(fitted.ids)} tokens",
            f"set it to {len(fitted.ids)} or more, or lower prompt.item_words",
        )
    return fitted


def bare_tokens(words: Mapping[str, str], scale: Scale, tokenizer: Any, style: Style, *, histories: bool) -> int:
    """Tokens of the longest prompt that cannot be shortened further, without the item's LEAST_ITEM characters.

    Args:
        words, scale, tokenizer, style: as in `fitted_prompt`.
        histories: True for means with earlier ratings that the budget may drop; False for means without earlier
            ratings.
    """
    nobody = RatingExample("", 0, (), (), None, None, scale.highest, None)
    known = replace(nobody, user_mean=scale.highest, item_mean=scale.highest)
    if histories:
        earlier = Rated(user_id="", item_index=0, rating=scale.highest, time=None, summary="", text="")
        known = replace(known, user_history=(earlier,), item_history=(earlier,))
    shortest = [
        _parts(one, _ItemWithoutText(), words, scale, style, 0, 0, 0, 1).messages(0, 0, 0) for one in (nobody, known)
    ]
    return max(len(prompt_ids(turns, tokenizer)) for turns in shortest)


class _ItemWithoutText:
    """A catalog of one item without text."""

    titles = ("-",)

    def record(self, index: int) -> Mapping[str, Any]:
        """Its columns."""
        return {"item_id": "", "title": self.titles[index]}


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of an earlier rating: `[title] 4` or `4`, with its review."""

    title: str | None
    rating: float
    review: str
    ends: list[int]  # end positions of the review's words
    cut_title: bool = False

    def shown(self, words: int) -> str:
        head = f"{self.rating:g}" if self.title is None else f"[{self.title}] {self.rating:g}"
        end = self.ends[min(words, len(self.ends)) - 1] if words and self.ends else 0
        return f"{head}: {self.review[:end]}" if end else head


@dataclass(frozen=True, slots=True)
class _Parts:
    """All parts of a prompt as plain text."""

    style: Style
    words: Mapping[str, str]
    scale: Scale
    title: str
    whole_title: str
    item: str  # the title and the other columns
    user: list[_Line]
    others: list[_Line]
    user_mean: float | None
    item_mean: float | None

    def within(self, tokenizer: Any, item_tokens: int, title_tokens: int) -> "_Parts":
        """The parts with all titles and the item's text within limits of tokens."""

        def line(one: _Line) -> _Line:
            title = shortened(one.title, len(one.title), title_tokens, tokenizer) if one.title else one.title
            return one if title == one.title else replace(one, title=title, cut_title=True)

        return replace(
            self,
            title=shortened(self.title, len(self.title), title_tokens, tokenizer),
            item=shortened(self.item, len(self.item), item_tokens, tokenizer),
            user=[line(one) for one in self.user],
        )

    def beginning(self, characters: int) -> "_Parts":
        """The parts with the first `characters` of the item's text and title."""
        return replace(self, title=self.title[:characters].rstrip(), item=self.item[:characters].rstrip())

    def messages(self, review_words: int, user: int, others: int) -> list[Message]:
        """The prompt with the latest `user` and `others` ratings and `review_words` words of each review."""
        user_lines = _shown(self.user, user, review_words)
        other_lines = _shown(self.others, others, review_words)
        write = self._compact if self.style == "compact" else self._instruct
        before = _worked_example(self.scale) if self.style == "brief" else []
        return [*before, {"role": "user", "content": "\n".join(write(user_lines, other_lines))}]

    def _compact(self, user_lines: list[str], other_lines: list[str]) -> list[str]:
        return [
            f"{self.words['action']}:",
            *user_lines,
            *([] if self.user_mean is None else [f"mean {self.user_mean:.1f}"]),
            f"{self.words['item']}: {self.item}",
            "others:",
            *other_lines,
            *([] if self.item_mean is None else [f"mean {self.item_mean:.1f}"]),
            f"rate [{self.title}]",
        ]

    def _instruct(self, user_lines: list[str], other_lines: list[str]) -> list[str]:
        item, items = self.words["item"], self.words["items"]
        return [
            f"Predict how a user will rate the {item} below. Ratings go from {self.scale}.",
            "",
            f"How this user rated other {items}, oldest first:",
            *user_lines,
            *([] if self.user_mean is None else [f"Mean of all ratings this user gave before: {self.user_mean:.2f}"]),
            "",
            f"The {item} to rate: {self.item}",
            "",
            f"How other users rated this {item}, oldest first:",
            *other_lines,
            *([] if self.item_mean is None else [f"Mean of all ratings it got before: {self.item_mean:.2f}"]),
            "",
            "Reason in four steps. Write each step once, in this order, inside its tags, and nothing outside them:",
            "<analyze user>what this user values and how generously the user rates</analyze user>",
            f"<analyze item>{GOOD} what speaks for the {item} {BAD} what speaks against it</analyze item>",
            "<match>how well the two fit, and what rating that makes likely</match>",
            f"<rate>the predicted rating: one number from {self.scale.lowest:g} to {self.scale.highest:g}</rate>",
        ]


def _worked_example(scale: Scale) -> list[Message]:
    """A prompt with its reply. Without one, no reply of SmolLM2-135M has the form."""

    def line(title: str | None, quarters: int, review: str) -> _Line:
        return _Line(title, _at(scale, quarters), review, word_ends(review))

    parts = _Parts(
        style="instruct",
        words={"item": "book", "items": "books", "action": "read"},
        scale=scale,
        title="Quiet Waters",
        whole_title="Quiet Waters",
        item="Quiet Waters",
        user=[line("The Long Road", 1, "Too long"), line("A Calm Evening", 4, "Calm and clear")],
        others=[line(None, 3, "Lovely and calm"), line(None, 2, "Little happens")],
        user_mean=(_at(scale, 1) + _at(scale, 4)) / 2,
        item_mean=(_at(scale, 3) + _at(scale, 2)) / 2,
    )
    blocks = ("Likes calm books.", f"{GOOD} calm {BAD} little happens", "It fits well.", f"{_at(scale, 3):g}")
    reply = "\n".join(f"<{name}>{block}</{name}>" for name, block in zip(BLOCKS, blocks, strict=True))
    return [*parts.messages(REVIEW_WORDS, 2, 2), {"role": "assistant", "content": reply}]


def _at(scale: Scale, quarters: int) -> float:
    """The value of a scale nearest to so many quarters of its range."""
    distance = scale.range * quarters / 4
    return scale.lowest + (distance if scale.step is None else round(distance / scale.step) * scale.step)


def _shown(lines: list[_Line], count: int, words: int) -> list[str]:
    if not lines:
        return [NOTHING]
    return [line.shown(words) for line in lines[len(lines) - count :]]


def _parts(
    example: RatingExample,
    catalog: Items,
    words: Mapping[str, str],
    scale: Scale,
    style: Style,
    review_words: int,
    item_review_words: int,
    item_words: int,
    title_words: int,
) -> _Parts:
    for field, value, least in (
        ("prompt.review_words", review_words, 0),
        ("prompt.item_review_words", item_review_words, 0),
        ("prompt.item_words", item_words, 0),
        ("prompt.title_words", title_words, 1),
    ):
        if value < least:
            raise ConfigError(field, value, f"must be at least {least}", "use the default")

    def line(rated: Rated, of_user: bool) -> _Line:
        review = _review(rated, style)
        ends = word_ends(review)[: review_words if of_user else item_review_words]
        if not of_user:
            return _Line(None, rated.rating, review, ends)
        whole = plain(catalog.titles[rated.item_index]) or UNTITLED
        title = cut_words(whole, title_words)
        return _Line(title, rated.rating, review, ends, title != whole)

    record = catalog.record(example.item_index)
    title = plain(record["title"]) or UNTITLED
    return _Parts(
        style=style,
        words=plain_words(words),
        scale=scale,
        title=title,
        whole_title=title,
        item=item_text(record, item_words),
        user=[line(rated, True) for rated in example.user_history],
        others=[line(rated, False) for rated in example.item_history],
        user_mean=example.user_mean,
        item_mean=example.item_mean,
    )


def _review(rated: Rated, style: Style) -> str:
    summary, text = plain(rated.summary), plain(rated.text)
    if style == "compact" or not (summary and text):
        return summary or text
    return f"{summary} {text}" if summary[-1] in ".!?…" else f"{summary}. {text}"
