"""Text that a person reads on a terminal or in a log: one line, printable, short, without secrets.

Entry points: `one_line` for a message, `printable` for text that keeps its lines, `redacted`, `listed` for names.
Every `ReckonError` passes its message through `one_line`; so does whatever else the command line prints of an input.
"""

import re
from collections.abc import Iterable

LONGEST = 290  # characters of a message; with the program's name before it, below 300
LONGEST_FIX = 140  # of these, what is left of a fix where the whole is too long
CLIPPED = 4000  # characters of either end that are looked at
FEW = 8  # names that a list in a message holds
FIX = ". Fix: "
HIDDEN = "***"
# What is left out of a long path, and what is kept of it.
LONG_PATH = re.compile(r"(?:(?<=[\s'\"(])|^)[^\s'\"(]*(?P<end>/[^\s'\"/]{1,60}/[^\s'\"/]{1,80})(?=[\s'\",;:)]|$)")
# The user and the secret of an address end at the last @, since a secret may hold blanks, slashes and @ unescaped. One
# slash is enough: a path has lost the other.
ADDRESS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.\-]{0,40}:/{1,3})[^\s/@:'\"]*:[^\n]*@", re.IGNORECASE)
USER_ALONE = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.\-]{0,40}:/{1,3})[^\s/@'\"]*@", re.IGNORECASE)
NAMED = re.compile(
    r"(?P<name>\b\w{0,40}(?:password|passwd|pwd|api[_-]?key|access[_-]?token|secret))(?P<is>\s?[=:]\s?)[^\s&,;'\")…]+",
    re.IGNORECASE,
)
BEARER = re.compile(r"\b(?P<kind>bearer\s+|sk-)[\w.\-]{16,}", re.IGNORECASE)


def one_line(text: object, longest: int = LONGEST) -> str:
    """A message as one printable line without secrets.

    One that is too long loses the beginnings of long paths, then its middle.

    A fix at its end stays readable: it is cut by itself.
    """
    text = str(text)
    if len(text) > 2 * CLIPPED:
        text = f"{text[:CLIPPED]}…{text[-CLIPPED:]}"
    words = redacted(" ".join(printable(text).split()))
    if len(words) > longest:
        words = LONG_PATH.sub(r"…\g<end>", words)
    if len(words) <= longest:
        return words
    problem, mark, fix = words.rpartition(FIX)
    if not mark:
        return _middle_out(words, longest)
    fix = fix if len(fix) <= LONGEST_FIX else f"{fix[: LONGEST_FIX - 2]}…."
    return f"{_middle_out(problem, longest - len(fix) - len(FIX))}{FIX}{fix}"


def printable(text: str) -> str:
    """The text with every character that a terminal would obey written as an escape; lines stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in text)


def redacted(text: str, *secrets: str) -> str:
    """The text without the secrets given, and without those of addresses, keys and passwords that it names."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, HIDDEN)
    text = ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = USER_ALONE.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = NAMED.sub(rf"\g<name>\g<is>{HIDDEN}", text)
    return BEARER.sub(rf"\g<kind>{HIDDEN}", text)


def listed(names: Iterable[object], few: int = FEW) -> str:
    """Names joined by commas, and how many more there are."""
    names = list(names)
    shown = ", ".join(_middle_out(str(name), 40) for name in names[:few])
    return shown if len(names) <= few else f"{shown} and {len(names) - few:,} more"


def cut(text: str, longest: int) -> str:
    """One printable line, cut at its end."""
    line = " ".join(printable(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


def _middle_out(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    head = (longest - 1) * 3 // 5
    return f"{text[:head]}…{text[head + 1 - longest :]}"


def _escape(char: str) -> str:
    return ascii(char)[1:-1]
