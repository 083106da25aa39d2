"""Rewards of RPORec, with TRL's signature: (prompts, completions, completion_ids, **columns) -> list[float].

Entry points: `total_reward`, the reward that RPORec trains on; `reward_parts`, its six parts by name; and one function
for each part. Inputs beside the text come as columns, one value per trajectory:

    target_rank          from 1: the target's rank by the Rechead's scores of this reply
    summary              the summary of the reasoning by the frozen starting model
    summary_similarity   cosine between the sentence vectors of the reasoning and of that summary
    reasoning_entropies  entropy in nats of the policy at each token of the reasoning

    r = r_fmt * (a0 r_fmt + a1 r_clean + a2 r_ndcg + a3 r_sim + a4 r_comp + a5 r_ent)

A reply of the wrong format has a total of zero. A reward that raises stops the run; an error is never a reward of zero.

Source: RPORec (arXiv 2605.21967), Stage II. It gives no weights; the defaults are those of the authors' public code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reckon.errors import ConfigError, ShapeError
from reckon.prompts.rporec import parse_reply
from reckon.rl.rewards.ranking import RewardFunction, ranking_reward
from reckon.rl.rewards.rating import reply_text

OUTSIDE_LIMIT = 100  # characters outside the blocks at which r_clean reaches 0
TOP_SHARE = 0.2  # share of the reasoning's tokens that r_ent compares with all of them
PARTS = ("format", "clean", "ndcg", "similarity", "compression", "entropy")
COLUMNS = ("target_rank", "summary", "summary_similarity", "reasoning_entropies")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """Weights and constants of the rewards. Section `rewards`. A weight of 0 leaves a reward out."""

    format: float = 0.1
    """Weight of r_fmt, which is 1 for a reply of the right format and else 0. A reply of the wrong format has a total
    of 0 under any weights."""

    clean: float = 0.1
    """Weight of r_clean: 1 - characters outside the blocks / 100, at least 0. In a reply of the right format these
    characters are blanks."""

    ndcg: float = 0.5
    """Weight of r_ndcg: NDCG of the target by the Rechead's scores."""

    similarity: float = 0.1
    """Weight of r_sim: 1 where the cosine between reasoning and summary is above `delta`, else 0."""

    compression: float = 0.1
    """Weight of r_comp: characters of the summary / characters of the reasoning, at most 1. It rewards concise
    reasoning."""

    entropy: float = 0.1
    """Weight of r_ent: mean entropy of the 20 % most uncertain tokens of the reasoning minus that of all of them."""

    delta: float = 0.5
    """Cosine between reasoning and summary above which r_sim is 1, in [-1, 1]."""

    cutoff: int = 1000
    """K of the NDCG, > 0; a target beyond rank K has r_ndcg 0."""

    summary_tokens: int = 256
    """Most tokens of a summary, > 0; a longer summary is cut there."""

    def __post_init__(self) -> None:
        for name in PARTS:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"rewards.{name}", getattr(self, name), "must not be negative", "use 0 to leave out")
        if not any(getattr(self, name) > 0 for name in PARTS):
            raise ConfigError(
                "rewards", 0, "every weight is 0, so no reply is better than another", "raise one of them"
            )
        if not -1 <= self.delta <= 1:
            raise ConfigError("rewards.delta", self.delta, "must lie in [-1, 1], as a cosine", "use 0.5")
        for name in ("cutoff", "summary_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"rewards.{name}", getattr(self, name), "must be at least 1", "use the default")

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each reward by its name."""
        return {name: getattr(self, name) for name in PARTS}

    @property
    def needs_summary(self) -> bool:
        """Whether any reward with a weight above 0 reads a summary."""
        return self.similarity > 0 or self.compression > 0


def format_reward(
    prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any], **_: Any
) -> list[float]:
    """r_fmt: 1 where the reply is exactly the two tagged blocks, else 0. Range: {0, 1}."""
    return [float(parse_reply(reply_text(completion)).problem is None) for completion in completions]


def clean_reward(
    prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any], **_: Any
) -> list[float]:
    """r_clean = max(0, 1 - L_out / 100), L_out the characters outside the blocks. Range: [0, 1]."""
    outside = [parse_reply(reply_text(completion)).outside for completion in completions]
    return [max(0.0, 1 - characters / OUTSIDE_LIMIT) for characters in outside]


def similarity_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Any],
    *,
    summary_similarity: Sequence[float],
    delta: float = 0.5,
    **_: Any,
) -> list[float]:
    """r_sim: 1 where the cosine of reasoning and summary lies above delta, else 0. Range: {0, 1}."""
    return [float(cosine > delta) for cosine in summary_similarity]


def compression_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Any],
    *,
    summary: Sequence[str],
    **_: Any,
) -> list[float]:
    """r_comp = characters of the summary / characters of the reasoning, at most 1; 0 without reasoning. Range: [0, 1].

    A value near 1 means that the frozen model could not shorten the reasoning.
    """
    reasonings = [parse_reply(reply_text(completion)).reasoning for completion in completions]
    return [
        min(1.0, len(short) / len(reasoning)) if reasoning else 0.0
        for short, reasoning in zip(summary, reasonings, strict=True)
    ]


def entropy_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Any],
    *,
    reasoning_entropies: Sequence[Sequence[float]],
    **_: Any,
) -> list[float]:
    """r_ent: mean entropy of the 20 % most uncertain tokens of the reasoning minus the mean over all its tokens.

    In nats, >= 0; 0 without tokens. The top 20 % are ceil(0.2 n) of n tokens.
    """
    return [_entropy_gap(entropies) for entropies in reasoning_entropies]


def _entropy_gap(entropies: Sequence[float]) -> float:
    if not entropies:
        return 0.0
    top = sorted(entropies, reverse=True)[: math.ceil(TOP_SHARE * len(entropies))]
    return sum(top) / len(top) - sum(entropies) / len(entropies)


def reward_parts(
    settings: RewardSettings, completions: Sequence[Any], completion_ids: Sequence[Any] = (), **columns: Any
) -> dict[str, list[float]]:
    """Each reward by its name, unweighted. A reward of weight 0 that reads a column is left out, so its column may be
    absent.

    Raises:
        ShapeError: a column has not one value per completion.
    """
    for name, values in columns.items():
        if name in COLUMNS and len(values) != len(completions):
            raise ShapeError(name, (len(values),), f"[{len(completions)}], one per completion")
    prompts = [None] * len(completions)
    known = columns | {"delta": settings.delta, "cutoff": settings.cutoff}
    return {
        name: function(prompts, completions, completion_ids, **known)
        for name, function in FUNCTIONS.items()
        if name in ALWAYS or settings.weights[name] > 0
    }


def total(settings: RewardSettings, parts: dict[str, list[float]]) -> list[float]:
    """The weighted sum of the parts of each reply, times r_fmt."""
    rows = zip(*parts.values(), strict=True)
    weights = [settings.weights[name] for name in parts]
    right = parts["format"]
    return [
        sum(weight * part for weight, part in zip(weights, row, strict=True)) if fits else 0.0
        for fits, row in zip(right, rows, strict=True)
    ]


def total_reward(settings: RewardSettings | None = None) -> RewardFunction:
    """r = r_fmt * sum of the weighted rewards, >= 0; 0 where the format is wrong.

    With the default weights the maximum is 0.9 plus a tenth of r_ent.
    """
    chosen = settings or RewardSettings()

    def rporec_reward(
        prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any], **columns: Any
    ) -> list[float]:
        return total(chosen, reward_parts(chosen, completions, completion_ids, **columns))

    return rporec_reward


FUNCTIONS: dict[str, RewardFunction] = dict(
    zip(
        PARTS,
        (format_reward, clean_reward, ranking_reward, similarity_reward, compression_reward, entropy_reward),
        strict=True,
    )
)
ALWAYS = ("format", "clean")  # read from the text alone; the format multiplies the total
