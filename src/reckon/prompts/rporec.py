"""The RPORec prompt and its reply, `<think>…</think><answer>…</answer>`.

Entry points: `messages` for the policy, `summary_messages` for the frozen summariser, `parse_reply` for the policy's
reply, `history_text` for the history as the Rechead reads it. Text is the only interface between the language model and
the Rechead: the answer describes the expected next item in free words.

Three styles: `instruct` for instruction-tuned models, `brief` for those of little capacity, with a worked example and
shorter replies, and `compact`, without instructions, for small backbones.

Source: RPORec (arXiv 2605.21967).
"""

from collections.abc import Mapping, Sequence
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
    """A parsed reply. `problem` is None if and only if the reply has the right form."""

    reasoning: str
    """y: the text of the think block. For a broken reply, the text after its first `<think>` (or the whole reply), for
    display only."""
    answer: str
    """z: the text of the answer block; empty for a broken reply."""
    problem: str | None
    """A short code for counts: one of `reckon.prompts.blocks`, `empty think` or `empty answer`."""
    outside: int
    """L_out: characters outside the blocks, blanks included; in a broken reply, characters outside its closed
    blocks."""


def parse_reply(text: str) -> ParsedReply:
    """Parse a reply strictly: one think block, then one answer block, each with a letter or digit, and only blanks
    around them.

    Args:
        text: the whole reply, without the end-of-text token. A truncated reply has an unclosed block, so it is broken.
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
    """Number of characters outside all closed blocks `<think>…</think>` and `<answer>…</answer>`, blanks included."""
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
    """One user turn: the history, oldest first, and the instruction; in the style `brief` after an answered example.

    Args:
        example: only its history and time are read; the target never reaches the prompt.
        titles: the catalog's titles by item index.
        words: names of items and actions: `item`, `items`, `action` (past tense).
        style: `instruct`, `brief` or `compact`.
    """
    words = plain_words(words)
    lines = [event_line(event, titles, example.time) for event in example.history] or [NOTHING]
    if style == "compact":
        return [{"role": "user", "content": "\n".join([f"{words['action']}:", *lines, "next:"])}]
    if style == "brief":
        return [*_worked_example(), {"role": "user", "content": _brief(lines, words)}]
    history, item = "\n".join(lines), words["item"]
    content = (
        f"A user {words['action']} these {words['items']}, oldest first:\n{history}\n\n"
        f"Which {item} comes next? First reason about what this user likes and how the taste is moving; then describe "
        f"the {item} you expect by its title and what else marks it. Write nothing outside the two blocks:\n"
        f"<think>your reasoning</think><answer>the title and attributes of the next {item}</answer>"
    )
    return [{"role": "user", "content": content}]


def _brief(lines: Sequence[str], words: Mapping[str, str]) -> str:
    history = "\n".join(lines)
    return (
        f"{history}\n\nA user {words['action']} these {words['items']}. What does this user like, and what kind of "
        f"{words['item']} comes next?\n<think>one short sentence</think>\n<answer>the next {words['item']}</answer>"
    )


def _worked_example() -> list[Message]:
    """A prompt with its reply. Without one, no reply of SmolLM2-135M has the form."""
    history = ["[Murder on the Moor]", "[The Lighthouse Crime]", "[A Guide to Scotland]"]
    question = _brief(history, {"item": "book", "items": "books", "action": "read"})
    reply = (
        "<think>The user likes crime stories by the sea and travels to Scotland.</think>\n"
        "<answer>A murder mystery on a Scottish island</answer>"
    )
    return [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]


def summary_messages(reasoning: str, style: Style = "instruct") -> list[Message]:
    """One user turn that asks for a summary of a reasoning. The reasoning is untrusted text: it quotes the data and may
    hold control tokens."""
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
    """x, the history as the Rechead reads it: titles, oldest first; empty for an empty history."""
    return "; ".join(plain(titles[event.item_index]) for event in example.history)
