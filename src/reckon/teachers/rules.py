"""Which replies of a teacher become traces, and what it is asked the second and the third time.

Entry points: `judge`, `hinted_messages`, `check_messages`, `judge_check`.

The rule. A trace is kept if its reply parses (`parse_rating`) and its rating is right: after snapping both to the
scale's step it equals the true one; on a scale without steps it lies within a hundredth of the scale's range. Any
other row is asked once more with the true rating as a hint. That reply must parse and be right too, and its reasoning
must support the rating on its own:

1. No block but `rate` gives away that the rating was known, or states it, unless the prompt shows such a rating
   (`reckon.teachers.leaks`); none states another one.
2. The teacher reads the reasoning again, without its `<rate>` block and without the prompt, and must come to the same
   rating.

A row is dropped for its last reason.

Source: RecZero (arXiv 2510.23077), RecOne's cold start; the checks of the reasoning are ours, the paper names none.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reckon.data.ratings import Scale
from reckon.prompts.rating import NUMBER, REPLY_END, parse_rating
from reckon.prompts.render import Message
from reckon.teachers.asking import Answer
from reckon.teachers.leaks import mentions_hint, stated_ratings

TOLERANCE = 0.01  # of the range, on a scale without steps
_RATE = re.compile(rf"<rate>\s*({NUMBER.pattern})\s*{REPLY_END}")
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


def judge(answer: Answer, truth: float, scale: Scale, shown: Collection[float] = ()) -> Verdict:
    """Whether an answer becomes a trace.

    Reasons: `failed: KIND` (no reply after all retries), `refused`, `truncated` (out of tokens), `empty`,
    `unparseable: PROBLEM` (see `parse_rating`), `wrong rating`, `hint leaked`, `contradicts its rating`.

    Args:
        answer: to a question with or without a hint.
        truth: the true rating.
        scale: of the ratings.
        shown: ratings that the prompt shows; a reasoning may speak of them.
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
    problem = problem_of_reasoning(parsed.blocks, truth, scale, shown) if answer.hinted else None
    return Verdict(problem, parsed.rating)


def is_right(rating: float, truth: float, scale: Scale) -> bool:
    """Whether a predicted rating counts as the true one."""
    if scale.step is None:
        return abs(rating - truth) <= TOLERANCE * scale.range
    return scale.nearest(rating) == scale.nearest(truth)


def problem_of_reasoning(
    blocks: Mapping[str, str], truth: float, scale: Scale, shown: Collection[float] = ()
) -> str | None:
    """Why the words of a hinted reasoning do not support its rating on their own.

    Returns:
        `hint leaked`, `contradicts its rating`, or None where nothing speaks against it.
    """
    reasoning = " \n ".join(text for name, text in blocks.items() if name != "rate")
    if mentions_hint(reasoning):
        return "hint leaked"
    contradicts = False
    for stated in stated_ratings(reasoning):
        if not stated.of_this and stated.rating in shown:
            continue
        if is_right(stated.rating, truth, scale):
            return "hint leaked"
        contradicts = contradicts or scale.contains(stated.rating)
    return "contradicts its rating" if contradicts else None


def check_messages(reply: str, scale: Scale) -> list[Message]:
    """The teacher's second reading: the reasoning of a reply alone, and the question which rating it leads to."""
    reasoning = reply.partition("<rate>")[0].strip()
    return [
        {
            "role": "user",
            "content": f"Somebody argues how a user will rate an item, on a scale of {scale}:\n\n{reasoning}\n\n"
            f"Which rating does this argument lead to? Answer with <rate>number{REPLY_END} and nothing else.",
        }
    ]


def judge_check(answer: Answer, truth: float, scale: Scale) -> Verdict:
    """What the second reading makes of a hinted trace: kept, or why not.

    Reasons: `check failed: KIND` (no reply after all retries), `check unreadable`, `reasoning leads elsewhere`.
    """
    if answer.failure is not None:
        return Verdict(f"check failed: {answer.failure}")
    found = _RATE.fullmatch(written(answer.text)) if answer.finish == "stop" else None
    rating = None if found is None else float(found[1])
    if rating is None or not scale.contains(rating):
        return Verdict("check unreadable")
    return Verdict(None if is_right(rating, truth, scale) else "reasoning leads elsewhere", rating)


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
