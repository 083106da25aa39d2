"""The recommending action: log-probability of the target among items, for RecPO and for the no-reasoning arm.

Entry point: `ItemTerm`. The items of an update (the batch's targets, uniformly drawn others, or the whole catalog) are
encoded once without gradient; forward passes read those rows through a leaf. At the end they are encoded again,
a chunk of CHUNK_TOKENS padded tokens at a time, and the collected gradient goes through each graph. So memory holds one
chunk's graph, however many items there are, and micro-batches change memory and nothing else. Both passes run without
dropout: the rows that the losses read are the ones that the gradient belongs to.

Trap: rows of a stale table as further negatives. Fresh rows and users drift together away from stale rows, since the
target is always fresh; Hit@10 fell from 0.144 to 0.052 in 60 steps. Every row that is scored here is fresh.

Source: R2ec (arXiv 2505.16994) section 3.2; the sampling correction: Yi et al., RecSys 2019.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from reckon.data.examples import Example
from reckon.methods.r2ec.config import HeadConfig
from reckon.models.backbone import Backbone
from reckon.models.rec_head import encode_rows, item_logits, length_batches, user_vectors

CHUNK_TOKENS = 2048  # padded tokens of item prompts whose graph exists at once


class ItemTerm:
    """Target log-probabilities over the batch's items, a sample, or the whole catalog."""

    def __init__(
        self, backbone: Backbone, head: HeadConfig, item_prompts: Sequence[list[int]], log_prior: Tensor
    ) -> None:
        self.backbone, self.head, self.item_prompts = backbone, head, item_prompts
        self.log_prior = log_prior  # [I] log training frequency
        self._columns = torch.empty(0, dtype=torch.long)  # [m] item indices that are scored, ascending
        self._correction: Tensor | None = None  # [m] log of the chance that an item is scored as a negative
        self._leaf = torch.empty(0)  # [m, D] what the losses read

    @property
    def columns(self) -> Tensor:
        """[m] item indices scored in this update, ascending; empty before the first."""
        return self._columns

    def begin(self, examples: Sequence[Example], generator: torch.Generator) -> None:
        """Choose the items of this update and encode each once; so a target is never its own negative."""
        device, total = self.log_prior.device, len(self.item_prompts)
        targets = torch.tensor([example.target for example in examples], device=device)
        if self.head.negatives == "catalog":
            self._columns, self._correction = torch.arange(total, device=device), None
        else:
            drawn = torch.randint(total, (self.head.sampled_negatives,), generator=generator, device=device)
            self._columns = torch.cat([targets, drawn]).unique()
            self._correction = self._log_inclusion(len(examples))[self._columns]
        with self.backbone.evaluating():
            rows = self._encode()
        self._leaf = rows.clone().requires_grad_()

    def finish(self) -> None:
        """Send the gradient that the rows collected through the encoder, chunk by chunk."""
        gradient, self._leaf = self._leaf.grad, torch.empty(0)
        if gradient is None:
            return
        prompts = [self.item_prompts[item] for item in self._columns.tolist()]
        modes = {module: module.training for module in self.backbone.model.modules()}
        for module in modes:  # no dropout, as in `begin`; layers that recompute their activations go on doing so
            module.training = isinstance(module, GradientCheckpointingLayer)
        try:
            for chunk in length_batches(prompts, CHUNK_TOKENS):
                encode_rows(self.backbone, [prompts[row] for row in chunk], CHUNK_TOKENS).backward(gradient[chunk])
        finally:
            for module, mode in modes.items():
                module.training = mode

    def refresh(self, vectors: Tensor) -> None:
        """Put this update's rows, as the updated model encodes them, into the item table's vectors [I, D]."""
        with self.backbone.evaluating():
            vectors[self._columns] = self._encode()

    def target_logprobs(self, hidden: Tensor, examples: Sequence[Example]) -> Tensor:
        """log pi(v+ | x, o): hidden states at the marker [n, D] of n examples (one row each) to [n].

        Items of a user's own history are out where they cannot be recommended.
        """
        users, columns = user_vectors(hidden), self._columns
        targets = torch.tensor([example.target for example in examples], device=users.device)
        position = torch.searchsorted(columns, targets)[:, None]  # [n, 1]
        logits = item_logits(users, self._leaf, self.head.tau)  # [n, m]
        logits = logits + self.head.popularity_prior * self.log_prior[columns]
        if self._correction is not None and (self.head.popularity_prior > 0 or self.head.sampled_negatives > 0):
            logits = logits - self._correction.expand_as(logits).scatter(1, position, 0.0)
        if self.head.exclude_seen:
            logits = logits.masked_fill(self._seen(examples, targets), -torch.inf)
        return logits.log_softmax(dim=-1).gather(1, position)[:, 0]

    def _encode(self) -> Tensor:
        return encode_rows(self.backbone, [self.item_prompts[item] for item in self._columns.tolist()])

    def _log_inclusion(self, batch_size: int) -> Tensor:
        """[I] log of the chance that an item is among the targets of the batch's other rows or the uniform draws.

        Dividing each negative's share of the softmax by it makes the denominator an unbiased estimate of the one
        over the whole catalog. Without it, in-batch negatives divide popularity out of the scores.
        """
        log_absent = (batch_size - 1) * torch.log1p(-self.log_prior.exp().clamp_max(1 - 1e-6))
        log_absent = log_absent + self.head.sampled_negatives * math.log1p(-1 / max(2, len(self.log_prior)))
        return torch.log(-torch.expm1(log_absent))

    def _seen(self, examples: Sequence[Example], targets: Tensor) -> Tensor:
        """[n, m] True for items of each whole history, except the target itself."""
        seen = torch.zeros(len(examples), len(self._columns), dtype=torch.bool, device=targets.device)
        for row, example in enumerate(examples):
            seen[row] = torch.isin(self._columns, torch.from_numpy(example.seen).long().to(targets.device))
        return seen & (self._columns != targets[:, None])
