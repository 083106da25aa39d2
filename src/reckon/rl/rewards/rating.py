"""Rewards of RecZero, with TRL's signature: (prompts, completions, completion_ids, **columns) -> list[float].

Entry points: `rating_reward`, the sum that RecZero trains on, and its parts `format_reward`, `answer_reward`,
`exact_reward`. Each takes the scale of the data set and returns a reward function with one column, `rating`: the true
rating of each trajectory. Completions are texts, or TRL's conversations (lists of messages).

A reply that does not parse has format reward -1 and answer reward 0. (The public RecZero release scored such a reply as
if its prediction equalled the truth.) A reward that raises stops the run.

Source: RecZero (arXiv 2510.23077) section 3.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from reckon.data.scale import Scale
from reckon.errors import ConfigError, DataError, ShapeError
from reckon.prompts.rating_reply import ParsedRating, parse_rating
from reckon.rl.rewards.ranking import RewardFunction

Answer = Literal["graded", "exact"]
SAME = 1e-6  # rating units; tolerance for ratings stored as float32


def format_reward(scale: Scale) -> RewardFunction:
    """+1 where the reply parses and its rating lies on the scale, else -1. Range: {-1, +1}."""
    return _reward("format_reward", scale, _format)


def answer_reward(scale: Scale) -> RewardFunction:
    """1 - |rating - truth| / half range of the scale, graded. Range: [-1, 1]; 0 where the reply does not parse.

    On a scale of 1 to 5 this is 1 - |rating - truth| / 2: 1 if right, 0.5 one star off, -1 four stars off. By itself it
    would prefer an unparseable reply (0) to an error above half the range (below 0); adding `format_reward` prevents
    that.
    """
    return _reward("answer_reward", scale, lambda parsed, truth: _graded(parsed, truth, scale))


def exact_reward(scale: Scale) -> RewardFunction:
    """1 where the rating equals the truth, else 0; 0 where the reply does not parse. Range: {0, 1}."""
    return _reward("exact_reward", scale, _exact)


def rating_reward(scale: Scale, answer: Answer = "graded", use_format: bool = True) -> RewardFunction:
    """Format reward plus answer reward: the reward that RecZero trains on.

    Args:
        scale: of the data set's ratings.
        answer: `graded` as in the paper, or `exact`, its ablation.
        use_format: False leaves the format reward out (ablation); an unparseable reply then earns 0.

    Returns:
        A reward in [-1, 2]. A reply that does not parse has -1. A reply that parses has 1 plus its answer reward, which
        is in [0, 2] if graded and 1 or 2 if exact; so every rating on the scale has a higher reward than none. Without
        the format reward, the answer reward alone.
    """
    if answer not in ("graded", "exact"):
        raise ConfigError("answer", answer, "is not an answer reward", "use graded or exact")

    def worth(parsed: ParsedRating, truth: float) -> float:
        earned = _graded(parsed, truth, scale) if answer == "graded" else _exact(parsed, truth)
        return earned + _format(parsed, truth) if use_format else earned

    return _reward("rating_reward", scale, worth)


def _reward(name: str, scale: Scale, worth: Callable[[ParsedRating, float], float]) -> RewardFunction:
    def reward(
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Any],
        *,
        rating: Sequence[float],
        **_: Any,
    ) -> list[float]:
        if len(rating) != len(completions):
            raise ShapeError("rating", (len(rating),), f"[{len(completions)}], one per completion")
        for row, truth in enumerate(rating):
            if not scale.contains(float(truth)):
                raise DataError(
                    f"rating[{row}] = {truth}", f"is not on the scale {scale}", "give the scale of the data set"
                )
        return [
            float(worth(parse_rating(reply_text(completion), scale), float(truth)))
            for completion, truth in zip(completions, rating, strict=True)
        ]

    reward.__name__ = name  # TRL logs rewards by this name
    return reward


def reply_text(completion: Any) -> str:
    """The text of a completion: a string, or the content of a conversation's messages one after another.

    Raises:
        DataError: it is neither.
    """
    if isinstance(completion, str):
        return completion
    if isinstance(completion, list) and all(
        isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in completion
    ):
        return "".join(turn["content"] for turn in completion)
    raise DataError(
        f"a completion of type {type(completion).__name__}",
        "is neither text nor a list of messages with text",
        'pass str or [{"role": "assistant", "content": str}]',
    )


def _format(parsed: ParsedRating, truth: float) -> float:
    return 1.0 if parsed.problem is None else -1.0


def _graded(parsed: ParsedRating, truth: float, scale: Scale) -> float:
    return 0.0 if parsed.rating is None else 1 - abs(parsed.rating - truth) / scale.half_range


def _exact(parsed: ParsedRating, truth: float) -> float:
    return float(parsed.rating is not None and abs(parsed.rating - truth) < SAME)
