"""The reply to a rating prompt: four tagged blocks, the last of which holds the rating.

Entry point: `parse_rating`. The reply is exactly

    <analyze user>…</analyze user><analyze item>…[pos]…[neg]…</analyze item><match>…</match><rate>4</rate>

Source: RecZero (arXiv 2510.23077) section 3, prompt template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reckon.data.scale import Scale
from reckon.prompts.blocks import block_texts, broken_structure, tags_of
from reckon.prompts.plain import MARKS

BLOCKS = ("analyze user", "analyze item", "match", "rate")
REPLY_END = "</rate>"
GOOD, BAD = MARKS
TAGS = tags_of(BLOCKS)
# ASCII digits, optional minus, no exponent, no leading zero, digits on both sides of the point. Bounded lengths keep
# the match fast on long blocks.
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,15})?")
LETTER_OR_DIGIT = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class ParsedRating:
    """A parsed reply. Exactly one of `rating` and `problem` is None."""

    rating: float | None
    """The predicted rating, on the scale."""
    problem: str | None
    """Why there is no rating: a short code for counts, such as `missing match` or `off scale`."""
    blocks: dict[str, str]
    """Text of each block by name, without surrounding blanks; empty where the structure is broken."""


def parse_rating(text: str, scale: Scale) -> ParsedRating:
    """Parse a reply strictly: a reply without the exact form has no rating.

    The rules in the order of the checks, with the problem of a violation:
    - the reply holds something other than blanks: `empty reply`;
    - each block's opening and closing tag occurs exactly once, letter for letter (lower case, no attributes, no other
      spacing, no HTML escapes): `missing NAME` without the opening tag, `unclosed NAME` without the closing one,
      `repeated NAME` where either occurs twice, also inside a block;
    - the blocks are in the order of `BLOCKS`, not nested: `order`;
    - only blanks are before, between and after the blocks: `text outside`;
    - each block holds a letter or digit, `analyze item` one besides its marks: `empty NAME`;
    - `analyze item` holds `[pos]` and after it `[neg]`: `no [pos]`, `no [neg]`, `[neg] before [pos]`;
    - `rate` is a plain ASCII decimal number, blanks around it aside: `not a number` for `4/5`, `4.5 stars`, `4,5`,
      `nan`, `1e3`, `+4`, `4.`, `.5`, `04`, other scripts' digits, and for numbers beyond 9 digits or 15 decimals;
    - the number lies within the scale: `off scale`. Values between the steps are valid, such as 4.3 on a scale of 1 to
      5.

    Blanks are characters of `str.isspace`, line ends included. A truncated reply has an unclosed block and no rating.
    Runs in linear time.

    Args:
        text: the whole reply, without the end-of-text token.
        scale: range of valid ratings.
    """
    problem = broken_structure(text, BLOCKS)
    if problem:
        return ParsedRating(None, problem, {})
    blocks = block_texts(text, BLOCKS)
    problem = _broken_block(blocks)
    if problem:
        return ParsedRating(None, problem, blocks)
    rating = float(blocks["rate"])
    if not scale.contains(rating):
        return ParsedRating(None, "off scale", blocks)
    return ParsedRating(rating, None, blocks)


def _broken_block(blocks: Mapping[str, str]) -> str | None:
    for name, block in blocks.items():
        if name == "analyze item":
            block = block.replace(GOOD, "").replace(BAD, "")
        if not (LETTER_OR_DIGIT.search(block) if name != "rate" else block):
            return f"empty {name}"
    good, bad = blocks["analyze item"].find(GOOD), blocks["analyze item"].find(BAD)
    if good < 0 or bad < 0:
        return f"no {GOOD if good < 0 else BAD}"
    if bad < good:
        return f"{BAD} before {GOOD}"
    return None if NUMBER.fullmatch(blocks["rate"]) else "not a number"
