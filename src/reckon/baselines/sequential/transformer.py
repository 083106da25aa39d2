"""The transformer of SASRec and BERT4Rec: item vectors with positions, and PyTorch's encoder.

Entry points: `TransformerConfig` and `TransformerNetwork`, whose subclasses define the attention mask.
"""

from abc import ABC
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reckon.baselines.sequential.sequences import INITIAL_STD, SequenceConfig, SequenceNetwork
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig(SequenceConfig):
    """Settings of `sasrec` and of `bert4rec`."""

    layers: int = 2
    """Transformer blocks, > 0."""

    heads: int = 2
    """Attention heads, > 0; must divide the width."""

    def __post_init__(self) -> None:
        SequenceConfig.__post_init__(self)  # `super()` is unusable in a class with slots: the decorator makes a new one
        if self.layers < 1:
            raise ConfigError("layers", self.layers, "a transformer has at least one block", "use 1 or more")
        if self.heads < 1 or self.width % self.heads:
            raise ConfigError("heads", self.heads, f"must divide the width ({self.width})", "use 1 or 2")


class TransformerNetwork(SequenceNetwork, ABC):
    """Pre-normalised blocks with GELU and a final normalisation, over item vectors plus learned position vectors.

    Positions count from the end of a row, as with the left padding of the papers: in a history longer than all training
    sequences, only the oldest events have untrained positions.
    """

    def __init__(self, items: int, config: TransformerConfig) -> None:
        super().__init__(items, config)
        self.positions = nn.Embedding(config.max_length, config.width)
        nn.init.normal_(self.positions.weight, std=INITIAL_STD)
        self.dropout = nn.Dropout(config.dropout)
        block = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            dim_feedforward=4 * config.width,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        # Nested tensors are for blocks that normalise last; PyTorch would warn that these do not.
        self.blocks = nn.TransformerEncoder(
            block, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False
        )

    def embedded(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """[n, T, D] item vectors plus positions, with dropout."""
        to_the_end = lengths[:, None] - 1 - torch.arange(tokens.shape[1], device=tokens.device)  # [n, T]
        return self.dropout(self.items(tokens) + self.positions(to_the_end.clamp(min=0)))
