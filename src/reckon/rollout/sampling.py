"""The distribution that replies are sampled from, and log-probabilities under it.

Entry points: `SamplingConfig`, `sampled_logprobs` (one place for temperature, top-k and top-p, used by the engine
and by the trainer) and `token_logprobs` (the trainer's, in chunks).

Trap: sampling with top-k or a temperature and then training on full-softmax log-probabilities biases the policy
gradient. Both sides here use the distribution that was sampled, renormalised over its support.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from reckon.errors import ConfigError
from reckon.models.backbone import Backbone

CHUNK_TOKENS = 1024  # logits of this many tokens exist at once
SMALL_LOGITS = 1 << 24  # up to this many logits (64 MiB) are kept for the backward pass; more are recomputed there


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How replies are sampled. Section `rollout` of the run config."""

    temperature: float = 1.0
    """Divisor of the logits, >= 0; 0 takes the most likely token."""

    top_k: int = 0
    """Sample from the k most likely tokens, >= 0; ties keep the lower ids; 0 keeps all."""

    top_p: float = 1.0
    """After top-k, sample from the fewest tokens whose total probability reaches p, in (0, 1]; 1 keeps all."""

    max_completion_length: int = 512
    """Most tokens of a reply, > 0; a reply that reaches it is truncated."""

    @property
    def truncates(self) -> bool:
        """Whether some tokens may have no probability."""
        return self.top_k > 0 or self.top_p < 1

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise ConfigError(
                "rollout.temperature", self.temperature, "must not be negative", "use 1.0, or 0 for greedy"
            )
        if self.top_k < 0:
            raise ConfigError("rollout.top_k", self.top_k, "must not be negative", "use 0 to keep all tokens")
        if not 0 < self.top_p <= 1:
            raise ConfigError("rollout.top_p", self.top_p, "must lie in (0, 1]", "use 1.0 to keep all tokens")
        if self.max_completion_length < 1:
            raise ConfigError(
                "rollout.max_completion_length", self.max_completion_length, "must be at least 1", "use 512"
            )


def sampled_logprobs(logits: Tensor, sampling: SamplingConfig, kept: Tensor | None = None) -> Tensor:
    """Log-probabilities after temperature, top-k and top-p: [n, V], -inf outside the support.

    Args:
        logits: [n, V] float32.
        sampling: temperature > 0.
        kept: [n] token ids that always stay in the support. The trainer passes the sampled tokens: after an update a
            sampled token may be outside the policy's top k, and its ratio must stay finite.
    """
    if sampling.temperature != 1:
        logits = logits / sampling.temperature
    if not sampling.truncates:
        return logits.log_softmax(dim=-1)
    allowed = torch.ones_like(logits, dtype=torch.bool)
    if 0 < sampling.top_k < logits.shape[-1]:
        allowed = top_k_support(logits, sampling.top_k)
    if sampling.top_p < 1:
        ordered, order = logits.masked_fill(~allowed, -torch.inf).softmax(dim=-1).sort(dim=-1, descending=True)
        before = ordered.cumsum(dim=-1) - ordered
        allowed = allowed & torch.zeros_like(allowed).scatter(1, order, before < sampling.top_p)
    if kept is not None:
        allowed = allowed.scatter(1, kept[:, None], True)
    return logits.masked_fill(~allowed, -torch.inf).log_softmax(dim=-1)


def top_k_support(logits: Tensor, k: int) -> Tensor:
    """True for exactly the k highest logits of each row [n, V]; of those that tie with the last, the lower ids stay.

    Ties are frequent in bfloat16: a threshold alone kept up to 211 tokens for k = 200.
    """
    last = logits.topk(k, dim=-1).values[:, -1:]  # [n, 1]
    above, tied = logits > last, logits == last
    return above | (tied & (tied.cumsum(dim=-1) <= k - above.sum(dim=-1, keepdim=True)))


def entropy_of(logprobs: Tensor, probabilities: Tensor, sampling: SamplingConfig) -> Tensor:
    """Entropy in nats of each row of log-probabilities [n, V] and their exponentials: [n]."""
    finite = logprobs.clamp_min(-1e4) if sampling.truncates else logprobs  # 0 * -inf would be NaN
    return -(probabilities * finite).sum(dim=-1)


def token_logprobs(
    backbone: Backbone, hidden: Tensor, tokens: Tensor, mask: Tensor, sampling: SamplingConfig
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of reply tokens, computed in chunks so that [N, T, V] never exists.

    Args:
        hidden: [N, T, D] states that predict each token.
        tokens: [N, T] the tokens.
        mask: [N, T] True where a token was sampled.
        sampling: the distribution they were sampled from.

    Returns:
        [N, T] log-probabilities with gradient and [N, T] entropies in nats without; both zero outside the mask.
    """

    def chunk_logprobs(states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        logprobs = sampled_logprobs(backbone.logits(states), sampling, kept=ids)
        with torch.no_grad():
            entropy = entropy_of(logprobs, logprobs.exp(), sampling)
        return logprobs.gather(1, ids[:, None])[:, 0], entropy

    states, ids = hidden[mask], tokens[mask]
    empty = hidden.new_zeros(tokens.shape, dtype=torch.float32)
    if not len(ids):
        return empty, empty
    if len(ids) * backbone.config.vocab_size <= SMALL_LOGITS:
        parts = [chunk_logprobs(states, ids)]
    else:
        parts = [
            checkpoint(chunk_logprobs, s, i, use_reentrant=False)
            for s, i in zip(states.split(CHUNK_TOKENS), ids.split(CHUNK_TOKENS), strict=True)
        ]
    logprobs, entropy = (torch.cat(column) for column in zip(*parts, strict=True))
    return empty.masked_scatter(mask, logprobs), empty.masked_scatter(mask, entropy)
