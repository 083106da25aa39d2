"""Statements about the rating in a reasoning before its `<rate>` block: mentions of the hint, and stated ratings.

Entry points: `mentions_hint`, `stated_ratings`. Both match text patterns and do not judge the argument; the teacher's
second reading does (`reckon.teachers.rules.check_messages`).

Source: ours; RecZero (arXiv 2510.23077) names no check of hinted reasoning.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

HINT_PHRASES = (
    r"(true|actual|real|correct|known|provided|supplied|hinted|target) rating",
    r"(the|a|this|your|given|as) hint(ed|s)?\b(?! of)",  # "a hint of jazz" is no leak
    r"hint(s|ed)? (says|said|that|is|was|at the rating)",
    r"as (was )?(given|told|stated in the hint)",
    r"rating (that |which )?(was|is|has been) (given|provided|known|revealed|told)",
    r"(was|were|am|been) told (that|the)",
    r"ground[- ]truth",
    r"(really|actually|in fact) (rated|gave)",
)
"""Regular expressions of phrases that reveal the hint, for text in lower case with single spaces."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_HINT = re.compile("|".join(rf"\b(?:{phrase})" for phrase in HINT_PHRASES))
_VALUE = rf"(\d+(?:\.\d+)?|{'|'.join(WORDS)})( and a half)?(?![\w-]|\.\d)"
_FILLER = r"(?:(?:a|an|at|as|only|just|exactly|clearly|likely|probably|about|around|simply|therefore|thus|then) )*"
_IS = r"(?:was|is|be|must be|should be|will be|would be|has to be|ought to be|comes to|lands (?:on|at)|ends (?:up )?at)"
_NOUN = r"(?:answer|verdict|prediction|conclusion|rating|score|mark|grade)"
_ELSEWHERE = ("average", "mean", "median", "usual", "typical", "overall", "last", "past", "earlier")
_OF_OTHERS = "".join(rf"(?<!\b{word} )" for word in _ELSEWHERE)
_THIS = r"(?:it|this|this (?:one|item|book|album|film|movie|product))"
# Statements about the rating to predict, independent of other ratings in the prompt.
_OF_THIS = (
    rf"{_OF_OTHERS}\b{_NOUN} (?:here )?{_IS} {_FILLER}{_VALUE}",
    rf"\b(?:give|gives|gave|rate|rates|rated|deserves|earns|gets|call) {_THIS} {_FILLER}{_VALUE}",
    rf"\b(?:so|hence|thus|therefore|means|settle on|settles on|leads to|points to|adds up to) {_FILLER}{_VALUE}"
    r"(?= (?:star|point|out of)|[.,;!]|$)",
)
# Statements about some rating: the one to predict, unless the prompt shows a rating of that value.
_OF_SOME = (
    rf"\b{_VALUE}[- ](?:stars?|points?)\b",
    rf"\b{_VALUE} (?:out of|/) ?\d",
    rf"\b{_VALUE}/\d",
    rf"\b{_NOUN} of {_FILLER}{_VALUE}",
    rf"\b(?:give|gives|gave|rate|rates|rated|deserves|earns) {_FILLER}{_VALUE}",
)
_PATTERNS = [(re.compile(pattern), True) for pattern in _OF_THIS] + [(re.compile(p), False) for p in _OF_SOME]


@dataclass(frozen=True, slots=True)
class Statement:
    """A rating stated in a text."""

    rating: float
    of_this: bool
    """True where the statement can only be about the rating to predict; False where it may be about a rating in the
    prompt."""


def mentions_hint(reasoning: str) -> bool:
    """Whether the text reveals that the rating was known."""
    return _HINT.search(_plain(reasoning)) is not None


def stated_ratings(reasoning: str) -> Iterator[Statement]:
    """All ratings stated in the text, in digits or in words."""
    text = _plain(reasoning)
    for pattern, of_this in _PATTERNS:
        for match in pattern.finditer(text):
            digits, half = match.groups()[-2:]
            value = float(WORDS.index(digits)) if digits in WORDS else float(digits)
            yield Statement(value + (0.5 if half else 0.0), of_this)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
