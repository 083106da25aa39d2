"""Losses of policy optimisation: one number per trajectory, to be minimised.

Entry points: `token_losses` (reply tokens of every trajectory) and `item_losses` (recommending action of the best
trajectories); `clipped_gain` (l_epsilon), `token_weights` and `top_entropy_tokens` are their parts. Pure functions of
log-probabilities, entropies and advantages.

Source: R2ec (arXiv 2505.16994) section 3.2 (RecPO), with PPO's clip (arXiv 1707.06347).
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from reckon.errors import ConfigError, ShapeError

LossType = Literal["grpo", "dr_grpo", "dapo", "bnpo"]


def clipped_gain(ratio: Tensor, advantage: Tensor, epsilon: float, epsilon_high: float) -> Tensor:
    """l_eps(r, A) = min(r A, clip(r, 1 - eps, 1 + eps_high) A), elementwise."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - epsilon, 1 + epsilon_high) * advantage)


def token_weights(mask: Tensor, loss_type: LossType = "grpo", max_completion_length: int | None = None) -> Tensor:
    """Weight of each token in its trajectory's loss: [N, T]. The loss is the mean over the N trajectories.

    `grpo` gives every trajectory the same weight. The others give every token the same weight: `dr_grpo` divides by the
    length budget, `dapo` and `bnpo` by the number of tokens in the batch. With one process and one batch per update
    `dapo` and `bnpo` are equal.

    Args:
        mask: [N, T] True where the policy chose the token, for ALL trajectories of the update, because the weights
            depend on their totals.
        loss_type: as in TRL's GRPOConfig.
        max_completion_length: the length budget in tokens; `dr_grpo` needs it.

    Source: `grpo` DeepSeekMath (arXiv 2402.03300) eq. 3; `dr_grpo` arXiv 2503.20783 section 3.2; `dapo` arXiv
    2503.14476 eq. 8.
    """
    match loss_type:
        case "grpo":
            return mask / mask.sum(dim=1, keepdim=True).clamp_min(1)
        case "dr_grpo":
            if max_completion_length is None:
                raise ConfigError("loss_type", loss_type, "divides by the length budget", "pass max_completion_length")
            return mask / max_completion_length
        case "dapo" | "bnpo":
            return mask * (len(mask) / mask.sum().clamp_min(1))
    raise ConfigError("loss_type", loss_type, "is unknown", f"use one of {', '.join(get_args(LossType))}")


def top_entropy_tokens(entropies: Tensor, mask: Tensor, share: float) -> Tensor:
    """True for the tokens of highest entropy in the batch, the forks of the reasonings: [N, T].

    The caller sets the weight of all other tokens to zero. The weights are not rescaled, so that share 1 gives the
    plain loss.

    Args:
        entropies: [N, T] in nats, of the distribution each token was sampled from.
        mask: [N, T] True where the policy chose the token, for ALL trajectories of the update.
        share: chosen share of the tokens in the mask, in (0, 1]; ceil(share * tokens) are chosen, the first of ties.

    Source: RPORec (arXiv 2605.21967), after arXiv 2506.01939.
    """
    if not 0 < share <= 1:
        raise ConfigError("top_entropy", share, "must lie in (0, 1]", "use 0.2, or 1 for every token")
    if entropies.shape != mask.shape:
        raise ShapeError("entropies", tuple(entropies.shape), f"{tuple(mask.shape)}, as the mask")
    count = math.ceil(share * int(mask.sum()))
    order = torch.sort(entropies[mask], descending=True, stable=True).indices
    chosen = torch.zeros_like(order, dtype=torch.bool)
    chosen[order[:count]] = True
    return torch.zeros_like(mask).masked_scatter(mask, chosen)


def token_losses(
    logprobs: Tensor,
    old_logprobs: Tensor,
    weights: Tensor,
    advantages: Tensor,
    epsilon: float,
    epsilon_high: float,
    *,
    reference_logprobs: Tensor | None = None,
    beta: float = 0.0,
) -> Tensor:
    """-sum_t w_it (l_eps(r_it, A_i) - beta * KL_it) of each trajectory: [N].

    Args:
        logprobs: [N, T] under the policy being trained.
        old_logprobs: [N, T] under the policy that sampled; no gradient.
        weights: [N, T] from `token_weights`; zero where the policy did not choose the token.
        advantages: [N] one per trajectory. Other shapes are refused: [N, 1, 1] broadcasts to [N, N, T], and a public
            release lost its gradient that way.
        epsilon, epsilon_high: the clip range 1 - epsilon .. 1 + epsilon_high.
        reference_logprobs: [N, T] under the frozen reference policy; needed where beta > 0.
        beta: weight of the KL term, >= 0: r * (exp(d) - d - 1) per token, d = reference - policy. The factor r (1 in
            value on the first update) makes the gradient that of the KL divergence (arXiv 2512.02556 section 3.1).
    """
    if advantages.ndim != 1 or logprobs.shape[:1] != advantages.shape:
        raise ShapeError("advantages", tuple(advantages.shape), f"[N] for log-probabilities {tuple(logprobs.shape)}")
    if not logprobs.shape == old_logprobs.shape == weights.shape:
        raise ShapeError(
            "old_logprobs",
            tuple(old_logprobs.shape),
            f"{tuple(logprobs.shape)}, as the log-probabilities and the weights {tuple(weights.shape)}",
        )
    ratio = torch.exp(logprobs - old_logprobs)
    gain = clipped_gain(ratio, advantages[:, None], epsilon, epsilon_high)
    if beta > 0:
        assert reference_logprobs is not None
        gain = gain - beta * ratio * token_kl(logprobs, reference_logprobs)
    return -(gain * weights).sum(dim=1)


def token_kl(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimate of KL(policy || reference) at sampled tokens, >= 0: exp(d) - d - 1, d = reference - policy. [N, T].

    Source: arXiv 2402.03300 eq. 4 (Schulman's third estimator).
    """
    gap = reference_logprobs - logprobs
    return torch.exp(gap) - gap - 1


def item_losses(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, best: Tensor, epsilon: float, epsilon_high: float
) -> Tensor:
    """-l_eps(r_rec, A) for the best trajectories, zero for the others: [N].

    Args:
        logprobs: [N] log pi(v+ | x, o), the softmax taken over the scored items.
        old_logprobs: [N] the same under the policy that sampled; no gradient.
        advantages: [N].
        best: [N] True for the trajectories with an item term.
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
