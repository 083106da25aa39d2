"""The prompt of baselines that write the next item's title.

Entry point: `messages`. Two styles, as in `reckon.prompts.r2ec`: `instruct` for instruction-tuned models and `compact`,
without instructions, for small backbones. Times and ratings are left out, because baselines read item indices only.

Source: BIGRec (arXiv 2308.08434) section 3, instruction tuning on titles, in our own words.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from reckon.prompts.cutting import UNTITLED
from reckon.prompts.plain import plain, plain_words
from reckon.prompts.render import Message

TitleStyle = Literal["instruct", "compact"]
"""`instruct` for instruction-tuned models, `compact` for small backbones."""


def messages(titles: Sequence[str], words: Mapping[str, str], style: TitleStyle) -> list[Message]:
    """One user turn: the titles of the history, oldest first, and the instruction.

    Args:
        titles: of the history's items; may be empty.
        words: names of items and actions: `item`, `items`, `action` (past tense).
        style: `compact` or `instruct`.
    """
    words = plain_words(words)
    lines = [f"[{plain(title)}]" for title in titles] or ["nothing yet"]
    if style == "compact":
        return [{"role": "user", "content": "\n".join([f"{words['action']}:", *lines, f"next {words['item']}:"])}]
    history = "\n".join(lines)
    content = (
        f"A user {words['action']} these {words['items']}, oldest first:\n{history}\n\n"
        f"Write the title of the next {words['item']} that fits this user, and nothing else."
    )
    return [{"role": "user", "content": content}]


def shown_title(title: str) -> str:
    """A title on one line without markup; a placeholder for an empty title."""
    return plain(title) or UNTITLED
