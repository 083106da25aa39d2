"""The reference policy: the policy as it was when training began, frozen, for the KL term and whatever must not move.

Entry point: `ReferencePolicy`; whoever wants the starting model for more than log-probabilities runs its `backbone`
inside `as_it_was`. Fresh adapters add nothing until they are trained, so the reference is the same model
with its adapters switched off; any other model is copied, which holds its weights a second time.
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
        """Take the backbone as it stands: before the first update, and before a checkpoint is loaded."""
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
        """Within it, `backbone` computes as it did before the first update."""
        with self.backbone.model.disable_adapter() if self._adapters_off else nullcontext():
            yield


def _adapters_add_nothing(model: Any) -> bool:
    """Whether the model has adapters that are as LoRA starts them: one factor all zeros."""
    factors = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    return bool(factors) and all(not bool(weight.any()) for weight in factors)
