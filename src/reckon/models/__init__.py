"""The language model with two heads: next token and next item."""

from reckon.models.backbone import Backbone, LoraSettings, load_backbone
from reckon.models.token_batch import TokenBatch

__all__ = ["Backbone", "LoraSettings", "TokenBatch", "load_backbone"]
