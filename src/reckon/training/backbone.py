"""The backbone that a training starts from.

Entry point: `backbone_to_train`. Loads no trainer: a model that only recommends imports this file, too.
"""

from pathlib import Path

from reckon.models.backbone import Backbone, LoraSettings, load_backbone
from reckon.training.config import OptimizerConfig


def backbone_to_train(
    backbone: str | Path | Backbone, training: OptimizerConfig, lora: LoraSettings, seed: int
) -> Backbone:
    """A backbone as a run's settings want it: loaded from a hub id or folder, unless it is loaded already."""
    if isinstance(backbone, Backbone):
        return backbone
    return load_backbone(
        backbone,
        dtype=training.dtype,
        lora=lora,
        gradient_checkpointing=training.gradient_checkpointing,
        seed=seed,
    )
