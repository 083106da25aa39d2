"""The optimiser of a training.

Entry point: `adamw`. Loads no trainer.
"""

from typing import Protocol

import torch

from reckon.models.backbone import Backbone


class OptimizerSettings(Protocol):
    """What `adamw` asks of a section of settings."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def embedding_lr_scale(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def adamw(backbone: Backbone, training: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW over what is trained; the token embedding may have a learning rate of its own."""
    embedding = backbone.causal_lm.get_input_embeddings().weight
    others = [p for p in backbone.model.parameters() if p.requires_grad and p is not embedding]
    groups = [{"params": others, "lr": training.learning_rate}]
    if embedding.requires_grad:
        groups.append({"params": [embedding], "lr": training.learning_rate * training.embedding_lr_scale})
    return torch.optim.AdamW(groups, lr=training.learning_rate, weight_decay=training.weight_decay)
