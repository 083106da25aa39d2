"""Replies made of tagged blocks, `<name>text</name>`: is each there once, in its order, with nothing outside?

Entry points: `broken_structure`, whose short codes reports count, and `block_texts` for a text that is not broken;
`shuffled_words` takes the order out of a reply and leaves its form.
What must stand inside a block is the business of each method's parser. Linear in the length of the text.
"""

import re
from collections.abc import Sequence

import numpy as np

TAG = re.compile(r"(</?[^<>]*>)")


def tags_of(names: Sequence[str]) -> tuple[str, ...]:
    """Opening and closing tag of each block, in their order."""
    return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))


def broken_structure(text: str, names: Sequence[str]) -> str | None:
    """What is wrong with the form of a reply; None where each block stands once, in order, with blanks between.

    Checked in this order, tags letter for letter (lower case, no attributes, no other spacing, no HTML escapes):
    `empty reply`; for each block `missing NAME` without its opening tag, `unclosed NAME` without its closing one,
    `repeated NAME` where either stands twice, also inside the text of a block; `order` where the blocks do not follow
    each other as named, or one is inside another; `text outside` where anything but blanks (`str.isspace`) stands
    before, between or after them.
    """
    if not text.strip():
        return "empty reply"
    for name in names:
        opened, closed = text.count(f"<{name}>"), text.count(f"</{name}>")
        if opened == 0:
            return f"missing {name}"
        if closed == 0:
            return f"unclosed {name}"
        if opened > 1 or closed > 1:
            return f"repeated {name}"
    tags = tags_of(names)
    starts = [text.index(tag) for tag in tags]
    if starts != sorted(starts):
        return "order"
    ends = [0, *(start + len(tag) for start, tag in zip(starts[1::2], tags[1::2], strict=True))]
    outside = zip(ends, [*starts[::2], len(text)], strict=True)
    return "text outside" if any(text[start:end].strip() for start, end in outside) else None


def block_texts(text: str, names: Sequence[str]) -> dict[str, str]:
    """The text of each block, without the blanks around it. The structure must not be broken."""
    return {name: text[text.index(f"<{name}>") + len(name) + 2 : text.index(f"</{name}>")].strip() for name in names}


def shuffled_words(text: str, rng: np.random.Generator) -> str:
    """The same words in random order: each stretch between two tags on its own, tags and spacing where they were."""
    parts = TAG.split(text)
    return "".join(part if TAG.fullmatch(part) else _shuffled(part, rng) for part in parts)


def _shuffled(text: str, rng: np.random.Generator) -> str:
    pieces = re.split(r"(\s+)", text)  # words and the blanks between them, in turns
    words = [place for place in range(0, len(pieces), 2) if pieces[place]]
    for place, source in zip(words, [pieces[words[n]] for n in rng.permutation(len(words))], strict=True):
        pieces[place] = source
    return "".join(pieces)
