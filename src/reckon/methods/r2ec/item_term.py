"""The item term: log-probability of the target among items, for RecPO and for the arms without policy gradient.

Entry point: `ItemTerm`. The items of an update are the batch's targets plus uniformly drawn items, or the whole
catalog. They are encoded once without gradient into a leaf tensor, which all forward passes of the update read. At the
end of the update they are encoded again with gradient, chunk by chunk, and each chunk backpropagates the gradient
collected on its rows. So peak memory depends on the chunk, not on the catalog, and micro-batches change memory, not
results.

Masking is the same here and in the reward: with `exclude_seen`, items of the history have score -inf. A row whose
target is in its history has no loss and no reward; `training_rows` leaves it out.

Trap: rows of a stale item table as further negatives. The target's row is always fresh, so fresh rows and users drift
away from stale rows together; Hit@10 fell from 0.144 to 0.052 in 60 steps. All rows scored here are fresh.

Source: R2ec (arXiv 2505.16994) section 3.2; the sampling correction: Yi et al., RecSys 2019.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reckon.data.examples import Example
from reckon.methods.r2ec.config import HeadConfig
from reckon.models.backbone import Backbone
from reckon.models.rec_head import encode_items, encode_rows, length_batches, user_vectors
from reckon.models.scoring import item_scores, seen_among

CHUNK_TOKENS = 2048  # least padded tokens of one chunk encoded with gradient


class ItemTerm:
    """Log-probabilities of targets among the items of an update."""

    def __init__(
        self, backbone: Backbone, head: HeadConfig, item_prompts: Sequence[Sequence[int]], log_prior: Tensor
    ) -> None:
        self.backbone, self.head, self.item_prompts = backbone, head, item_prompts
        self.log_prior = log_prior  # [I] log training frequency
        self._columns = torch.empty(0, dtype=torch.long)  # [m] indices of the scored items, ascending
        self._correction: Tensor | None = None  # [m] log-probability that an item is scored as a negative
        self._leaf = torch.empty(0)  # [m, D] rows that the losses read

    @property
    def columns(self) -> Tensor:
        """[m] indices of the items scored in this update, ascending; empty before the first update."""
        return self._columns

    def begin(self, examples: Sequence[Example], generator: torch.Generator) -> None:
        """Choose the items of this update and encode each once, so that a target is not its own negative."""
        device, total = self.log_prior.device, len(self.item_prompts)
        targets = torch.tensor([example.target for example in examples], device=device)
        if self.head.negatives == "catalog":
            self._columns, self._correction = torch.arange(total, device=device), None
        else:
            drawn = torch.randint(total, (self.head.sampled_negatives,), generator=generator, device=device)
            self._columns = torch.cat([targets, drawn]).unique()
            self._correction = self._log_inclusion(len(examples))[self._columns]
        self._leaf = self._encode().requires_grad_()

    def finish(self, widest: int = 0) -> None:
        """Backpropagate the gradient collected on the rows through the encoder, chunk by chunk.

        Args:
            widest: padded tokens of the update's largest forward pass. On an accelerator, where small passes cost as
                much time as larger ones, a chunk has as many.
        """
        if self._leaf.grad is not None:
            prompts = self._prompts()
            tokens = CHUNK_TOKENS if self._leaf.device.type == "cpu" else max(CHUNK_TOKENS, widest)
            for batch in length_batches(prompts, tokens):
                rows = encode_rows(self.backbone, [prompts[row] for row in batch])  # [b, D]
                rows.backward(self._leaf.grad[batch])
        self._leaf = torch.empty(0)

    def refresh(self, vectors: Tensor) -> Tensor:
        """Encode this update's items with the updated model and write the rows into the item table's vectors [I, D].

        Returns:
            [m] distance of each new row from the table's previous row: the length of the difference of unit vectors.
        """
        fresh = self._encode()
        moved = (fresh - vectors[self._columns]).norm(dim=1)
        vectors[self._columns] = fresh
        return moved

    def target_logprobs(self, hidden: Tensor, examples: Sequence[Example]) -> Tensor:
        """log pi(v+ | x, o) of the targets: [n], from hidden states at the marker [n, D], one per example.

        -inf for an excluded target.
        """
        columns = self._columns
        targets = torch.tensor([example.target for example in examples], device=hidden.device)
        position = torch.searchsorted(columns, targets)[:, None]  # [n, 1]
        bias = self.head.popularity_prior * self.log_prior[columns]
        logits = item_scores(user_vectors(hidden) / self.head.tau, self._leaf, bias)  # [n, m]
        if self._correction is not None and (self.head.popularity_prior > 0 or self.head.sampled_negatives > 0):
            logits = logits - self._correction.expand_as(logits).scatter(1, position, 0.0)
        if self.head.excludes_seen:
            seen = seen_among(columns, [example.seen for example in examples])  # [n, m]
            logits = logits.masked_fill(seen, -torch.inf)
        own = logits.gather(1, position)[:, 0]  # [n]
        # For a user who took all scored items, all scores are -inf; the result is -inf, not NaN.
        return torch.where(own.isneginf(), own, own - logits.logsumexp(dim=-1))

    def _prompts(self) -> list[Sequence[int]]:
        return [self.item_prompts[item] for item in self._columns.tolist()]

    def _encode(self) -> Tensor:
        """[m, D] rows of the update's items, without gradient."""
        return encode_items(self.backbone, self._prompts())

    def _log_inclusion(self, batch_size: int) -> Tensor:
        """[I] log-probability that an item is among the targets of the batch's other rows or the uniform draws.

        Dividing each negative's term in the denominator by this probability makes the denominator an unbiased estimate
        of the sum over the whole catalog. Without the correction, in-batch negatives remove popularity from the scores.
        """
        log_absent = (batch_size - 1) * torch.log1p(-self.log_prior.exp().clamp_max(1 - 1e-6))
        log_absent = log_absent + self.head.sampled_negatives * math.log1p(-1 / max(2, len(self.log_prior)))
        return torch.log(-torch.expm1(log_absent))
