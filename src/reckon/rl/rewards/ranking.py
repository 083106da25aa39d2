"""Rewards of R2ec, with TRL's signature: (prompts, completions, completion_ids, **columns) -> list[float].

Inputs from the rec head come as columns, one value per trajectory: `target_rank` (the target's rank in the catalog,
from 1) and `target_probability` (the target's probability under the softmax of the scores over the catalog). Any
trainer that passes these columns can use the functions. A reward that raises stops the run; an error is never a reward
of zero.

Source: R2ec (arXiv 2505.16994) section 3.2: R = (1 - beta) * R_d + beta * R_c.
"""

from collections.abc import Callable, Sequence
from typing import Any

from reckon.errors import ConfigError
from reckon.metrics.ranking import rank_values

RewardFunction = Callable[..., list[float]]


def ranking_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Any],
    *,
    target_rank: Sequence[int],
    cutoff: int = 1000,
    catalog_size: int | None = None,
    **_: Any,
) -> list[float]:
    """R_d = NDCG@K with one relevant item, in [0, 1]: 1 / log2(1 + rank), 0 beyond rank K.

    Args:
        cutoff: K.
        catalog_size: I; a rank beyond it is a miss with reward 0. None: there are no misses.
    """
    last = cutoff if catalog_size is None else catalog_size
    return [float(value) for value in rank_values(target_rank, f"ndcg@{cutoff}", last)]


def similarity_reward(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Any],
    *,
    target_probability: Sequence[float],
    **_: Any,
) -> list[float]:
    """R_c = probability of the target under the softmax over the catalog, in [0, 1]."""
    return [float(probability) for probability in target_probability]


def fused_reward(beta: float = 0.05, cutoff: int = 1000) -> RewardFunction:
    """R = (1 - beta) * R_d + beta * R_c, in [0, 1].

    Args:
        beta: share of the similarity reward, in [0, 1]; 0 leaves R_d alone, 1 leaves R_c alone.
        cutoff: K of R_d, > 0.
    """
    if not 0 <= beta <= 1:
        raise ConfigError("recpo.reward_beta", beta, "must lie in [0, 1]", "use 0.05 as in the paper")

    def reward(
        prompts: Sequence[Any], completions: Sequence[Any], completion_ids: Sequence[Any], **columns: Any
    ) -> list[float]:
        ranking = ranking_reward(prompts, completions, completion_ids, cutoff=cutoff, **columns)
        similarity = similarity_reward(prompts, completions, completion_ids, **columns)
        return [(1 - beta) * d + beta * c for d, c in zip(ranking, similarity, strict=True)]

    return reward
