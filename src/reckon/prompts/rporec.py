"""The RPORec prompts and replies: a history to chat messages, `<think>…</think><answer>…</answer>` back to its parts.

Entry points: `messages` for the policy, `summary_messages` for the frozen summariser, `parse_reply` for what the
policy wrote, `history_text` for what the Rechead reads beside it. Text is the only interface between the language
model and the Rechead: the answer is a guess at the next item, its title and what else is known of it, in free words.

Two styles: `instruct` for instruction-tuned models, `compact` for small backbones, where every token is cost.

Source: RPORec (arXiv 2605.21967).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from reckon.data.examples import Example
from reckon.prompts.blocks import block_texts, broken_structure, tags_of
from reckon.prompts.cutting import Titles
from reckon.prompts.plain import plain, plain_words, without_brackets
from reckon.prompts.r2ec import event_line
from reckon.prompts.render import Message
from reckon.prompts.style import Style

BLOCKS = ("think", "answer")
TAGS = tags_of(BLOCKS)
REPLY_END = TAGS[-1]
NOTHING = "nothing yet"


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """What a reply says. `problem` is None exactly where the reply has the one right form."""

    reasoning: str
    """y: the text of the think block. Of a broken reply, what follows its first `<think>` (or all of it), to be shown;
    nothing is trained or ranked on that."""
    answer: str
    """z: the text of the answer block; empty where the reply is broken."""
    problem: str | None
    """A short code that reports count: one of `reckon.prompts.blocks`, `empty think` or `empty answer`."""
    outside: int
    """L_out: characters outside the blocks, blanks included; of a broken reply, outside those that are closed."""


def parse_reply(text: str) -> ParsedReply:
    """Read a reply strictly: reasoning once, then the answer once, both with a letter or digit, nothing else around.

    Args:
        text: the whole reply, without the end-of-text token. A truncated one is unclosed somewhere, so it is broken.
    """
    problem, outside = broken_structure(text, BLOCKS), outside_characters(text)
    if problem is None:
        blocks = block_texts(text, BLOCKS)
        empty = next((name for name, block in blocks.items() if not any(map(str.isalnum, block))), None)
        if empty is None:
            return ParsedReply(blocks["think"], blocks["answer"], None, outside)
        problem = f"empty {empty}"
    return ParsedReply(_shown_reasoning(text), "", problem, outside)


def outside_characters(text: str) -> int:
    """Characters that no closed block `<think>…</think>` or `<answer>…</answer>` covers, blanks included."""
    outside, place = 0, 0
    opening = {name: text.find(f"<{name}>") for name in BLOCKS}
    while found := [(start, name) for name, start in opening.items() if start >= 0]:
        start, name = min(found)
        end = text.find(f"</{name}>", start)
        if end < 0:  # never closed again
            opening[name] = -1
            continue
        outside += start - place
        place = end + len(name) + 3
        for other, at in opening.items():
            if 0 <= at < place:
                opening[other] = text.find(f"<{other}>", place)
    return outside + len(text) - place


def _shown_reasoning(text: str) -> str:
    after = text.partition("<think>")[2] or text
    return after.partition("</think>")[0].partition("<answer>")[0].strip()


def messages(example: Example, titles: Titles, words: Mapping[str, str], style: Style = "instruct") -> list[Message]:
    """One user turn: the history, oldest first, and the instruction.

    Args:
        example: only its history and time are read; the target never reaches the prompt.
        titles: the catalog's titles by item index.
        words: what items and actions are called: `item`, `items`, `action` (past tense).
        style: `instruct` or `compact`.
    """
    words = plain_words(words)
    lines = [event_line(event, titles, example.time) for event in example.history] or [NOTHING]
    if style == "compact":
        return [{"role": "user", "content": "\n".join([f"{words['action']}:", *lines, "next:"])}]
    history, item = "\n".join(lines), words["item"]
    content = (
        f"A user {words['action']} these {words['items']}, oldest first:\n{history}\n\n"
        f"Which {item} comes next? First reason about what this user likes and how the taste is moving; then describe "
        f"the {item} you expect by its title and what else marks it. Write nothing outside the two blocks:\n"
        f"<think>your reasoning</think><answer>the title and attributes of the next {item}</answer>"
    )
    return [{"role": "user", "content": content}]


def summary_messages(reasoning: str, style: Style = "instruct") -> list[Message]:
    """One user turn that asks for a summary of a reasoning. Whoever wrote that quotes text from the data, and control
    tokens that a reply may hold are text here too."""
    reasoning = without_brackets(reasoning)
    if style == "compact":
        return [{"role": "user", "content": f"reasoning:\n{reasoning}\nsummary:"}]
    content = (
        f"Here is somebody's reasoning:\n{reasoning}\n\n"
        "Say the same in as few words as possible. Keep every conclusion, leave out everything else, and write nothing "
        "but the summary."
    )
    return [{"role": "user", "content": content}]


def history_text(example: Example, titles: Titles) -> str:
    """x as the Rechead reads it: the titles of the history, oldest first; empty where there is none."""
    return "; ".join(plain(titles[event.item_index]) for event in example.history)
