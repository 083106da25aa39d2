"""SASRec: a causal transformer over the history.

Entry point: `SASRec`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reckon.baselines.sequence_baseline import SequenceBaseline
from reckon.baselines.sequences import SequenceConfig, SequenceNetwork
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformerConfig(SequenceConfig):
    """Settings of `sasrec` and `bert4rec`."""

    layers: int = 2
    """Transformer blocks, > 0."""

    heads: int = 2
    """Attention heads, > 0; a divisor of the width."""

    def __post_init__(self) -> None:
        SequenceConfig.__post_init__(self)  # `super()` is unusable in a class with slots: the decorator makes a new one
        if self.layers < 1:
            raise ConfigError("layers", self.layers, "a transformer has at least one block", "use 1 or more")
        if self.heads < 1 or self.width % self.heads:
            raise ConfigError("heads", self.heads, f"must divide the width ({self.width})", "use 1 or 2")


class SASRecNetwork(SequenceNetwork):
    """Item vectors plus learned positions, then causal self-attention blocks.

    Departs from the paper where later work showed gains: layers are normalised first, the feed-forward part is four
    times as wide, and the loss is over the whole catalog (see `reckon.baselines.sequences.next_item_loss`).
    """

    def __init__(self, items: int, config: TransformerConfig) -> None:
        super().__init__(items, config)
        self.positions = nn.Embedding(config.max_length, config.width)
        nn.init.normal_(self.positions.weight, std=config.width**-0.5)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = transformer(config)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        length = tokens.shape[1]
        hidden = self.dropout(self.items(tokens) + self.positions.weight[:length])  # [n, T, D]
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)  # True: may not be read
        return self.blocks(hidden, mask=later, is_causal=True)


def transformer(config: TransformerConfig) -> nn.TransformerEncoder:
    """PyTorch's encoder: pre-normalised blocks with GELU, and a last normalisation."""
    block = nn.TransformerEncoderLayer(
        config.width,
        config.heads,
        dim_feedforward=4 * config.width,
        dropout=config.dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    # Nested tensors would leave rows of different lengths out of the padding, which pre-normalised blocks cannot.
    return nn.TransformerEncoder(block, config.layers, norm=nn.LayerNorm(config.width), enable_nested_tensor=False)


class SASRec(SequenceBaseline):
    """Each event reads itself and the events before it, by attention.

    Source: Kang, McAuley, "Self-attentive sequential recommendation" (arXiv:1808.09781) section III.
    """

    NAME = "sasrec"
    CONFIG = TransformerConfig
    NETWORK = SASRecNetwork
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**SequenceBaseline.SEARCH, "layers": (1, 2)}
