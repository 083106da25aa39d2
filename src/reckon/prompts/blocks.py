"""Structure of replies made of tagged blocks, `<name>text</name>`: each block once, in order, with no text outside.

Entry points: `broken_structure` returns a short code of the problem, `block_texts` the blocks of a correct reply,
`shuffled_words` a reply with shuffled words and unchanged tags. Each method's parser checks the content of the blocks.
All run in linear time.
"""

import re
from collections.abc import Sequence

import numpy as np

TAG = re.compile(r"(</?[^<>]*>)")


def tags_of(names: Sequence[str]) -> tuple[str, ...]:
    """Opening and closing tag of each block, in their order."""
    return tuple(tag for name in names for tag in (f"<{name}>", f"</{name}>"))


def broken_structure(text: str, names: Sequence[str]) -> str | None:
    """Problem of a reply's structure; None where each block is there once, in order, with only blanks between.

    Tags must match letter for letter (lower case, no attributes, no other spacing, no HTML escapes). Codes, in the
    order of the checks: `empty reply`; for each block `missing NAME` (no opening tag), `unclosed NAME` (no closing
    tag), `repeated NAME` (a tag occurs twice, also inside a block); `order` (blocks in another order, or nested); `text
    outside` (characters other than blanks, `str.isspace`, before, between or after the blocks).
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
    """Text of each block, without surrounding blanks. `broken_structure(text, names)` must be None."""
    return {name: text[text.index(f"<{name}>") + len(name) + 2 : text.index(f"</{name}>")].strip() for name in names}


def shuffled_words(text: str, rng: np.random.Generator) -> str:
    """The text with its words in random order, within each stretch between two tags; tags and spacing stay in place."""
    parts = TAG.split(text)
    return "".join(part if TAG.fullmatch(part) else _shuffled(part, rng) for part in parts)


def _shuffled(text: str, rng: np.random.Generator) -> str:
    pieces = re.split(r"(\s+)", text)  # words and blanks alternate
    words = [place for place in range(0, len(pieces), 2) if pieces[place]]
    for place, source in zip(words, [pieces[words[n]] for n in rng.permutation(len(words))], strict=True):
        pieces[place] = source
    return "".join(pieces)
