"""Caser: convolutions over the item vectors of the last few events.

Entry point: `Caser`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.baselines.sequential.sequences import SequenceConfig, SequenceNetwork
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class CaserConfig(SequenceConfig):
    """Settings of `caser`."""

    recent: int = 5
    """Latest events that are read (L in the paper), > 0."""

    horizontal: int = 16
    """Horizontal filters per height 1 .. recent, > 0; they find patterns of neighbouring events."""

    vertical: int = 4
    """Vertical filters, > 0; each is a weighted sum of the latest events."""

    def __post_init__(self) -> None:
        SequenceConfig.__post_init__(self)
        for field in ("recent", "horizontal", "vertical"):
            if getattr(self, field) < 1:
                raise ConfigError(field, getattr(self, field), "must be positive", "use 1 or more")


class CaserNetwork(SequenceNetwork):
    """At each position, horizontal filters of L heights and vertical filters over the vectors [L, D] of the last L
    tokens.

    Departure from the paper: no user vectors, because a recommender gets only a history. Positions before the beginning
    of a sequence are zero.
    """

    def __init__(self, items: int, config: CaserConfig) -> None:
        super().__init__(items, config)
        self.recent = config.recent
        self.horizontal = nn.ModuleList(
            nn.Conv2d(1, config.horizontal, (height, config.width)) for height in range(1, config.recent + 1)
        )
        self.vertical = nn.Conv2d(1, config.vertical, (config.recent, 1))
        features = config.horizontal * config.recent + config.vertical * config.width
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(features, config.width)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        n, length = tokens.shape
        images = self.images(tokens).flatten(0, 1)[:, None]  # [n * T, 1, L, D]
        patterns = [filters(images).squeeze(3).relu().amax(dim=2) for filters in self.horizontal]  # each [n * T, H]
        sums = self.vertical(images).flatten(1)  # [n * T, V * D]
        hidden = self.out(self.dropout(torch.cat([*patterns, sums], dim=1))).relu()
        return hidden.view(n, length, -1)

    def images(self, tokens: Tensor) -> Tensor:
        """[n, T, L, D] the vectors of the last L tokens up to each position, oldest first, zeros before the first."""
        vectors = nn.functional.pad(self.items(tokens), (0, 0, self.recent - 1, 0))  # [n, L - 1 + T, D]
        return vectors.unfold(1, self.recent, 1).transpose(2, 3)


class Caser(SequenceBaseline):
    """Scores items by patterns of the last few events.

    Source: Tang, Wang, "Personalized top-N sequential recommendation via convolutional sequence embedding"
    (arXiv:1809.07426) section 3.
    """

    NAME = "caser"
    CONFIG = CaserConfig
    NETWORK = CaserNetwork
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**SequenceBaseline.SEARCH, "recent": (3, 5, 8)}
