"""Rules for traces: which replies are kept, and the prompts with a hint and for the second reading.

Entry points: `judge`, `hinted_messages`, `check_messages`, `judge_check`.

A trace is kept if its reply parses (`parse_rating`) and its rating is right: equal to the true rating after rounding
both to the scale's step, or, on a scale without steps, within a hundredth of the scale's range. Any other row is asked
once more with the true rating as a hint. The second reply must also parse and be right, and its reasoning must support
the rating:

1. No block but `rate` reveals that the rating was known, states the true rating (unless the prompt shows a rating of
   that value), or states another rating (`reckon.teachers.leaks`).
2. The teacher reads the reasoning again, without the `<rate>` block and without the prompt, and must predict the same
   rating.

A dropped row has the reason of its last reply.

Source: RecZero (arXiv 2510.23077), RecOne's cold start. The checks of the reasoning are ours; the paper names none.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from reckon.data.ratings import Scale
from reckon.prompts.rating_reply import NUMBER, REPLY_END, parse_rating
from reckon.prompts.render import Message
from reckon.teachers.asking import Answer
from reckon.teachers.leaks import mentions_hint, stated_ratings

TOLERANCE = 0.01  # share of the range, on a scale without steps
_RATE = re.compile(rf"<rate>\s*({NUMBER.pattern})\s*{REPLY_END}")
_THINKING = re.compile(r"\s*<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision on an answer. `reason` is a stable phrase for reports, None if the answer is kept."""

    reason: str | None
    rating: float | None = None
    """Predicted rating; None where the reply did not parse."""

    @property
    def kept(self) -> bool:
        return self.reason is None


def judge(answer: Answer, truth: float, scale: Scale, shown: Collection[float] = ()) -> Verdict:
    """Decide whether an answer becomes a trace.

    Reasons: `failed: KIND` (no reply after all retries), `refused`, `truncated` (out of tokens), `empty`,
    `unparseable: PROBLEM` (see `parse_rating`), `wrong rating`, `hint leaked`, `contradicts its rating`.

    Args:
        answer: the answer to a question with or without a hint.
        truth: the true rating.
        scale: of the ratings.
        shown: ratings in the prompt; a reasoning may state them.
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
    """Whether a predicted rating equals the true one, within the rules above."""
    if scale.step is None:
        return abs(rating - truth) <= TOLERANCE * scale.range
    return scale.nearest(rating) == scale.nearest(truth)


def problem_of_reasoning(
    blocks: Mapping[str, str], truth: float, scale: Scale, shown: Collection[float] = ()
) -> str | None:
    """Problem of a hinted reasoning that does not support its rating.

    Returns:
        `hint leaked`, `contradicts its rating`, or None for no problem.
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
    """Prompt of the second reading: the reasoning of a reply without its rating, and the question which rating
    follows."""
    reasoning = reply.partition("<rate>")[0].strip()
    return [
        {
            "role": "user",
            "content": f"Somebody argues how a user will rate an item, on a scale of {scale}:\n\n{reasoning}\n\n"
            f"Which rating does this argument lead to? Answer with <rate>number{REPLY_END} and nothing else.",
        }
    ]


def judge_check(answer: Answer, truth: float, scale: Scale) -> Verdict:
    """Decision on a hinted trace after the second reading.

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
    """The reply without the thinking block that some models write first, and without surrounding blanks."""
    thinking = _THINKING.match(text)
    return text[thinking.end() if thinking else 0 :].strip()


def hinted_messages(messages: list[Message], truth: float) -> list[Message]:
    """The same prompt with the true rating as a hint, which the reply must not mention."""
    hint = (
        f"\n\nHint: the user's rating was {truth:g}. Write the reasoning that leads there from what is shown above, in "
        f"the form asked for, ending with <rate>{truth:g}{REPLY_END}. Argue as if you did not know the rating: do not "
        "mention this hint."
    )
    *before, last = messages
    return [*before, {"role": last["role"], "content": last["content"] + hint}]
