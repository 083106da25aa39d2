"""Losses of policy optimisation: one number per trajectory, to be minimised.

Entry points: `clipped_gain` (l_epsilon), `token_losses` (every trajectory's tokens) and `item_losses` (the
recommending action of the best trajectories). Pure functions of log-probabilities and advantages.

Source: R2ec (arXiv 2505.16994) section 3.2 (RecPO), with PPO's clip (arXiv 1707.06347).
"""

import torch
from torch import Tensor

from reckon.errors import ShapeError


def clipped_gain(ratio: Tensor, advantage: Tensor, epsilon: float, epsilon_high: float) -> Tensor:
    """l_eps(r, A) = min(r A, clip(r, 1 - eps, 1 + eps_high) A), elementwise."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon_high) * advantage)


def token_losses(
    logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, advantages: Tensor, epsilon: float, epsilon_high: float
) -> Tensor:
    """-1/T_i sum_t l_eps(r_it, A_i) of each trajectory: [N].

    Args:
        logprobs: [N, T] under the policy being trained.
        old_logprobs: [N, T] under the policy that sampled; no gradient.
        mask: [N, T] True where the policy chose the token. Padding and appended markers teach nothing.
        advantages: [N] one per trajectory. A shape [N, 1, 1] here is how a public release lost its gradient.
        epsilon, epsilon_high: the clip range 1 - epsilon .. 1 + epsilon_high.
    """
    if advantages.ndim != 1 or logprobs.shape[:1] != advantages.shape:
        raise ShapeError("advantages", tuple(advantages.shape), f"[N] for log-probabilities {tuple(logprobs.shape)}")
    if not logprobs.shape == old_logprobs.shape == mask.shape:
        raise ShapeError(
            "old_logprobs",
            tuple(old_logprobs.shape),
            f"{tuple(logprobs.shape)}, as the log-probabilities and the mask {tuple(mask.shape)}",
        )
    ratio = torch.exp(logprobs - old_logprobs)
    gain = clipped_gain(ratio, advantages[:, None], epsilon, epsilon_high) * mask
    return -gain.sum(dim=1) / mask.sum(dim=1).clamp_min(1)


def item_losses(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, best: Tensor, epsilon: float, epsilon_high: float
) -> Tensor:
    """-l_eps(r_rec, A) for the best trajectories, zero for the others: [N].

    Args:
        logprobs: [N] log pi(v+ | x, o) among the item rows scored.
        old_logprobs: [N] the same under the policy that sampled; no gradient.
        advantages: [N].
        best: [N] True for the trajectories that carry the item term.
    """
    if logprobs.ndim != 1 or not logprobs.shape == old_logprobs.shape == advantages.shape == best.shape:
        raise ShapeError("advantages", tuple(advantages.shape), f"[N], as log-probabilities {tuple(logprobs.shape)}")
    ratio = torch.exp(logprobs - old_logprobs)
    return -clipped_gain(ratio, advantages, epsilon, epsilon_high) * best


def best_of_group(advantages: Tensor, count: int) -> Tensor:
    """True for the `count` trajectories of highest advantage in each group; ties go to the first. [B, G]."""
    order = torch.sort(advantages, dim=1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(advantages, dtype=torch.bool).scatter(1, order, True)


def clip_share(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor, epsilon: float, epsilon_high: float) -> Tensor:
    """Share of the masked tokens whose ratio lies outside the clip range."""
    ratio = torch.exp(logprobs - old_logprobs)
    outside = ((ratio < 1 - epsilon) | (ratio > 1 + epsilon_high)) & mask
    return outside.sum() / mask.sum().clamp_min(1)
