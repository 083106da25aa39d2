"""GRU4Rec: a recurrent network over the history.

Entry point: `GRU4Rec`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.baselines.sequential.sequences import SequenceConfig, SequenceNetwork
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class GRU4RecConfig(SequenceConfig):
    """Settings of `gru4rec`."""

    layers: int = 1
    """Stacked recurrent layers, > 0."""

    def __post_init__(self) -> None:
        SequenceConfig.__post_init__(self)
        if self.layers < 1:
            raise ConfigError("layers", self.layers, "a recurrent network has at least one layer", "use 1 or more")


class GRU4RecNetwork(SequenceNetwork):
    """Item vectors and gated recurrent units of the same width, with dropout on input and output."""

    def __init__(self, items: int, config: GRU4RecConfig) -> None:
        super().__init__(items, config)
        between = config.dropout if config.layers > 1 else 0.0
        self.units = nn.GRU(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        hidden, _ = self.units(self.dropout(self.items(tokens)))  # [n, T, D]
        return self.norm(self.dropout(hidden))


class GRU4Rec(SequenceBaseline):
    """Scores items by the final state of a recurrent network over the history.

    Source: Hidasi et al., "Session-based recommendations with recurrent neural networks" (arXiv:1511.06939) section 3,
    with the softmax over the whole catalog in place of its sampled losses, and one vector per item for reading and
    scoring (constrained embedding of arXiv:1706.03847).
    """

    NAME = "gru4rec"
    CONFIG = GRU4RecConfig
    NETWORK = GRU4RecNetwork
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**SequenceBaseline.SEARCH, "layers": (1, 2)}
