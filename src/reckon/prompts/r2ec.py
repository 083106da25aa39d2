"""The R2ec prompt: a user's history and the instruction.

Entry point: `messages`. Three styles: `instruct` for instruction-tuned models (the paper's wording in our own words),
`brief`, which asks for one short sentence, for those of little capacity or with few tokens for a reply, and `compact`,
without instructions, for small backbones trained on the data set's own text.

The reply is a reasoning, then `MARKER`. The rec head reads the hidden state at the marker. Item prompts end with the
same marker, so users and items are read at the same token.

Source: R2ec (arXiv 2505.16994), section 3 and appendix (prompt template).
"""

from collections.abc import Mapping

from reckon.data.examples import Event, Example
from reckon.prompts.cutting import Titles
from reckon.prompts.plain import plain, plain_words
from reckon.prompts.render import Message
from reckon.prompts.style import Style

MARKER = "<answer>"
MINUTE, HOUR, DAY, MONTH, YEAR = 60, 3600, 86_400, 2_629_800, 31_557_600  # seconds; month and year are means


def messages(example: Example, titles: Titles, words: Mapping[str, str], style: Style = "instruct") -> list[Message]:
    """One user turn: the history, oldest first, and the instruction.

    Args:
        example: only its history and time are read; the target never reaches the prompt.
        titles: the catalog's titles by item index.
        words: names of items and actions: `item`, `items`, `action` (past tense).
        style: `instruct`, `brief` or `compact`.
    """
    words = plain_words(words)
    lines = [event_line(event, titles, example.time) for event in example.history] or ["nothing yet"]
    if style == "compact":
        return [{"role": "user", "content": "\n".join([f"{words['action']}:", *lines, "reasoning:"])}]
    history = "\n".join(lines)
    if style == "brief":
        # Measured on SmolLM2-135M: history first, since a request before it is forgotten; and neither "oldest first",
        # read as a property of the items, nor the marker, which it never writes.
        content = (
            f"{history}\n\nA user {words['action']} these {words['items']}. "
            f"In one short sentence, name what this user likes and what kind of {words['item']} comes next."
        )
        return [{"role": "user", "content": content}]
    content = (
        f"A user {words['action']} these {words['items']}, oldest first:\n{history}\n\n"
        f"Analyse in depth what this user likes, how the taste is moving and what it needs next. "
        f"Then recommend the next {words['item']}: end your reasoning with {MARKER}."
    )
    return [{"role": "user", "content": content}]


def event_line(event: Event, titles: Titles, now: int | None) -> str:
    """`3 days ago: [title] (4)`; the time or the rating is left out where the data set has none."""
    line = f"[{plain(titles[event.item_index])}]"
    if event.time is not None and now is not None:
        line = f"{time_ago(now - event.time)}: {line}"
    return line if event.rating is None else f"{line} ({event.rating:g})"


def time_ago(seconds: int) -> str:
    """A time span in its largest whole unit: `just now`, `5 minutes ago`, …, `2 years ago`."""
    for unit, name in ((YEAR, "year"), (MONTH, "month"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= unit:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
