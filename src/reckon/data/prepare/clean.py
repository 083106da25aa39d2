"""Clean the text of items and reviews: entities, markup, whitespace.

Entry points: `clean_text` for one string, `clean_array` for an Arrow column (also of lists). Both are deterministic
and idempotent on what they return.

Only the names of real HTML elements count as markup, so `<3`, `a < b` and a title such as `<Untitled>` stay.
"""

import ast
import html
import json
import re
import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ELEMENTS = (
    "a|abbr|address|article|aside|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|dfn|div|"
    "dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|kbd|"
    "label|legend|li|link|main|map|mark|meta|nav|noscript|object|ol|optgroup|option|p|param|picture|pre|q|s|section|"
    "select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|"
    "tt|u|ul|video|script"
)
HIDING = re.compile(r"<(?P<name>script|style)\b[^<>]*>|<!--", re.IGNORECASE)  # what hides text to its end
ENDS = {
    "script": re.compile(r"</script\s*>", re.IGNORECASE),
    "style": re.compile(r"</style\s*>", re.IGNORECASE),
    "": re.compile("-->"),
}
# Numbers of no character; thousands of digits are more than Python reads.
LONG_NUMBER = re.compile(r"&#(?:[0-9]{12,}|[xX][0-9a-fA-F]{12,});?")
# Composing sorts the marks on one letter, in quadratic time. No writing has more than 30 (Unicode Annex 15).
MANY_MARKS = re.compile(r"[^\w\s\x00-\x7f]{31,}")
MOST_MARKS = 30
# The last alternative is a tag that the text ends in: publishers cut fields at a length.
TAG = re.compile(rf"</?(?:{ELEMENTS})(?:\s[^<>]*|\s*/)?(?:>|$)", re.IGNORECASE)
INVISIBLE = dict.fromkeys([*range(0x200B, 0x2010), 0x2060, 0xFEFF, 0x00AD])  # zero-width, direction marks, soft hyphen
MAX_ESCAPES = 3  # `&amp;amp;lt;` occurs in published metadata; more levels do not
SUSPECT = r"[&<\x00-\x1f\x7f-\xa0\xad\x{2000}-\x{206f}\x{3000}\x{feff}]|  |^ | $|^[\[{]"  # RE2: text that may need work


def clean_text(text: str | None) -> str:
    """Write out a list, unescape entities, drop markup and invisible characters, join words by single spaces."""
    if not text:
        return ""
    text = _written_out(text)
    for _ in range(MAX_ESCAPES):
        unescaped = html.unescape(LONG_NUMBER.sub(" ", text))
        if unescaped == text:
            break
        text = unescaped
    text = TAG.sub(" ", _without_hidden(text)).translate(INVISIBLE)
    text = unicodedata.normalize("NFC", MANY_MARKS.sub(_fewer_marks, text))
    text = " ".join(text.split())
    if not text.isprintable():  # control characters that are no white space
        text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text


def clean_array(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Clean every string, or every string of every list; what ends up empty becomes null, or leaves its list.

    Most text needs nothing, and one Arrow pass finds that out; only the rest is handled in Python.
    """
    if isinstance(texts, pa.ChunkedArray):
        texts = texts.combine_chunks()
    if pa.types.is_list(texts.type) or pa.types.is_large_list(texts.type):
        return pa.array([_clean_list(part) for part in texts.to_pylist()], pa.list_(pa.string()))
    texts = texts.cast(pa.string())
    ascii_only = pc.string_is_ascii(texts)  # other text may need composing (NFC)
    suspect = pc.or_(pc.match_substring_regex(texts, SUSPECT), pc.invert(ascii_only)).fill_null(False)
    if pc.any(suspect).as_py():
        cleaned = pa.array((clean_text(text) for text in texts.filter(suspect).to_pylist()), pa.string())
        texts = pc.replace_with_mask(texts, suspect, cleaned)
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _without_hidden(text: str) -> str:
    """The text without scripts, styles and comments, each with its end; an opening without an end stays.

    Linear: once an end is not found behind some place, it is not looked for again.
    """
    kept, place, endless = [], 0, set()
    for opening in HIDING.finditer(text):
        name = (opening["name"] or "").lower()
        if opening.start() < place or name in endless:
            continue
        end = ENDS[name].search(text, opening.end())
        if end is None:
            endless.add(name)
            continue
        kept += [text[place : opening.start()], " "]
        place = end.end()
    return "".join([*kept, text[place:]])


def _fewer_marks(run: re.Match[str]) -> str:
    """A run of signs with at most MOST_MARKS combining marks one after the other."""
    kept, marks = [], 0
    for char in run[0]:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def _written_out(text: str) -> str:
    """The parts of a JSON or Python list or object, joined by commas; any other text as it is."""
    text = text.strip()
    if text in ("[]", "{}"):
        return ""
    if (text[:1], text[-1:]) not in (("[", "]"), ("{", "}")) or not ('"' in text or "'" in text):
        return text
    for read in (json.loads, ast.literal_eval):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of `'\d'` in a literal, which is somebody else's spelling
                return ", ".join(_leaves(read(text)))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if written := ", ".join(_leaves(part)):
                yield f"{key}: {written}"
    elif isinstance(value, list | tuple | set):
        for part in value:
            yield from _leaves(part)
    elif value is not None and (written := clean_text(str(value))):
        yield written


def _clean_list(texts: list[str | None] | None) -> list[str] | None:
    kept = list(_unique(clean_text(text) for text in texts or []))
    return kept or None


def _unique(texts: Iterator[str]) -> Iterator[str]:
    """Every non-empty text once, first occurrence first: category paths repeat their parents."""
    return iter(dict.fromkeys(text for text in texts if text))
