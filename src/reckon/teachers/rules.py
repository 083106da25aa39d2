"""Which replies of a teacher become traces, and what it is asked the second time.

Entry points: `judge` and `hinted_messages`.

The rule. A trace is kept if its reply parses (`parse_rating`) and its rating is right: after snapping both to the
scale's step it equals the true one; on a scale without steps it lies within a hundredth of the scale's range. Any
other row is asked once more with the true rating as a hint. That reply must parse and be right too, and its reasoning
must support the rating on its own: no block may give away that the rating was known (`LEAKS`), and `match`, the
block that argues for the rating, must not be empty (the parser sees to that). A row is dropped for its last reason.

Source: RecZero (arXiv 2510.23077), RecOne's cold start; the check of the reasoning is ours, the paper names none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from reckon.data.ratings import Scale
from reckon.prompts.rating import REPLY_END, parse_rating
from reckon.prompts.render import Message
from reckon.teachers.asking import Answer

TOLERANCE = 0.01  # of the range, on a scale without steps
LEAKS = (
    r"(true|actual|real|correct|known|provided|supplied|hinted|target) rating",
    r"(the|a|this|your|given|as) hint(ed|s)?\b(?! of)",  # "a hint of jazz" gives nothing away
    r"hint(s|ed)? (says|said|that|is|was|at the rating)",
    r"as (was )?(given|told|stated in the hint)",
    r"rating (that |which )?(was|is|has been) (given|provided|known|revealed|told)",
    r"(was|were|am|been) told (that|the)",
    r"ground[- ]truth",
    r"(really|actually|in fact) (rated|gave)",
)
"""What no reasoning may say after a hint: regular expressions over its text in lower case, blanks made single."""
_LEAK = re.compile("|".join(rf"\b(?:{leak})" for leak in LEAKS))
_THINKING = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is kept. `reason` is a stable phrase for reports, None for a kept one."""

    reason: str | None
    rating: float | None = None
    """What the reply predicts, where it parses."""

    @property
    def kept(self) -> bool:
        return self.reason is None


def judge(answer: Answer, truth: float, scale: Scale) -> Verdict:
    """Whether an answer becomes a trace.

    Reasons: `failed: KIND` (no reply after all retries), `refused`, `truncated` (out of tokens), `empty`,
    `unparseable: PROBLEM` (see `parse_rating`), `wrong rating`, `hint leaked`.
    """
    if answer.failure is not None:
        return Verdict(f"failed: {answer.failure}")
    if answer.finish != "stop":
        return Verdict("refused" if answer.finish == "refused" else "truncated")
    reply = written(answer.text)
    if not reply:
        return Verdict("empty")
    parsed = parse_rating(reply, scale)
    if parsed.rating is None:
        return Verdict(f"unparseable: {parsed.problem}")
    if not is_right(parsed.rating, truth, scale):
        return Verdict("wrong rating", parsed.rating)
    if answer.hinted and leaks(parsed.blocks):
        return Verdict("hint leaked", parsed.rating)
    return Verdict(None, parsed.rating)


def is_right(rating: float, truth: float, scale: Scale) -> bool:
    """Whether a predicted rating counts as the true one."""
    if scale.step is None:
        return abs(rating - truth) <= TOLERANCE * scale.range
    return scale.nearest(rating) == scale.nearest(truth)


def leaks(blocks: Mapping[str, str]) -> bool:
    """Whether the reasoning says that the rating was known."""
    reasoning = " \n ".join(text for name, text in blocks.items() if name != "rate")
    return _LEAK.search(" ".join(reasoning.lower().split())) is not None


def written(text: str) -> str:
    """The reply without the private thinking that some models put in front of it, and without blanks around it."""
    thinking = _THINKING.match(text)
    return text[thinking.end() if thinking else 0 :].strip()


def hinted_messages(messages: list[Message], truth: float) -> list[Message]:
    """The same question with the true rating; the reply is asked to argue from what the prompt shows."""
    hint = (
        f"\n\nHint: the user's rating was {truth:g}. Write the reasoning that leads there from what is shown above, in "
        f"the form asked for, ending with <rate>{truth:g}{REPLY_END}. Argue as if you did not know the rating: do not "
        "mention this hint."
    )
    *before, last = messages
    return [*before, {"role": last["role"], "content": last["content"] + hint}]
