"""Turn the rewards of each group of trajectories into advantages.

Entry point: `group_advantages`, called once per step by the policy trainer.
Does not know about tokens, models or devices: rewards in, advantages out.
"""

from typing import Literal, get_args

from torch import Tensor

from reckon.errors import ConfigError, ShapeError

STD_EPS = 1e-6  # reward units; only keeps the division finite
Estimator = Literal["grpo", "rloo"]


def group_advantages(rewards: Tensor, estimator: Estimator = "grpo") -> Tensor:
    """Compare each trajectory's reward with the rewards of its own group.

    Args:
        rewards: [B, G] one scalar per trajectory, any unit, higher is better.
        estimator: `grpo` (R - mean) / std with the sample standard deviation (n - 1);
            `rloo` R - mean of the other G - 1, in reward units.

    Returns:
        [B, G] advantages. Each row sums to zero; a row of tied rewards is exactly zero.

    Raises:
        ShapeError: rewards is not 2-D, or G < 2 (one trajectory has nothing to beat).

    Source: `grpo` DeepSeekMath (arXiv 2402.03300) section 4.1.2; `rloo` arXiv 2402.14740 section 3.3;
    both in R2ec (arXiv 2505.16994) section 3.2.
    """
    if estimator not in get_args(Estimator):
        raise ConfigError("recpo.advantage", estimator, "is not an estimator", "use grpo or rloo")
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ShapeError("rewards", tuple(rewards.shape), "[B, G] with G >= 2")
    # A tied group must teach nothing. Eight rewards of 0.7 differ from their float32 mean by one
    # rounding error, which the equally small std would blow up to an advantage of 0.06.
    tied = (rewards == rewards[:, :1]).all(dim=1, keepdim=True)  # [B, 1]
    centered = (rewards - rewards.mean(dim=1, keepdim=True)).masked_fill(tied, 0.0)
    if estimator == "rloo":
        # R_i - (sum - R_i) / (G - 1) = (R_i - mean) * G / (G - 1)
        group = rewards.shape[1]
        return centered * (group / (group - 1))
    return centered / (rewards.std(dim=1, keepdim=True) + STD_EPS)
