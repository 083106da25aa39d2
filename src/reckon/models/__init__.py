"""The language model with two heads: next token and next item."""

from reckon.models.backbone import Backbone, LoraSettings, TokenBatch, load_backbone

__all__ = ["Backbone", "LoraSettings", "TokenBatch", "load_backbone"]
