"""The reference policy: a frozen copy of the starting policy, for the KL term and for frozen summaries.

Entry point: `ReferencePolicy`; inside `as_it_was` its `backbone` computes with the starting weights. A model with fresh
adapters needs no copy, because the reference is the same model with its adapters switched off. Any other model is
copied, which needs memory for a second set of weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from reckon.models.backbone import Backbone
from reckon.models.token_batch import TokenBatch
from reckon.rollout import SamplingConfig, token_logprobs


class ReferencePolicy:
    """Log-probabilities of replies under the starting policy."""

    def __init__(self, backbone: Backbone) -> None:
        """Freeze the backbone's present weights. Call it before the first update and before a checkpoint is loaded."""
        self._adapters_off = _adapters_add_nothing(backbone.model)
        self.backbone = backbone if self._adapters_off else backbone.frozen_copy()

    def logprobs(
        self, prompts: TokenBatch, replies: Tensor, mask: Tensor, group_size: int, sampling: SamplingConfig
    ) -> Tensor:
        """[N, T] log-probabilities of reply tokens, zero outside the mask; no gradient."""
        with self.as_it_was(), self.backbone.evaluating():
            states, last = self.backbone.read_prompts(prompts)
            hidden = self.backbone.read_replies(replies, states.reader(group_size))  # [N, T, D]
            predicting = torch.cat([last.repeat_interleave(group_size, 0)[:, None], hidden[:, :-1]], dim=1)
            return token_logprobs(self.backbone, predicting, replies, mask, sampling)[0]

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """A context in which `backbone` computes with the starting weights."""
        with self.backbone.model.disable_adapter() if self._adapters_off else nullcontext():
            yield


def _adapters_add_nothing(model: Any) -> bool:
    """Whether the model has untrained LoRA adapters: one factor of each is all zeros."""
    factors = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    return bool(factors) and all(not bool(weight.any()) for weight in factors)
