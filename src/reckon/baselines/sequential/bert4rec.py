"""BERT4Rec: a bidirectional transformer trained to predict masked items.

Entry point: `BERT4Rec`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.baselines.sequential.sequences import NOT_A_TARGET, Rows, latest, lengths_of
from reckon.baselines.sequential.transformer import TransformerConfig, TransformerNetwork
from reckon.data.examples import IntArray
from reckon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BERT4RecConfig(TransformerConfig):
    """Settings of `bert4rec`."""

    hidden_share: float = 0.3
    """Probability that an item of a training sequence is masked, in (0, 1)."""

    last_share: float = 0.2
    """Share of training sequences in which only the last item is masked, as in prediction, in [0, 1]."""

    def __post_init__(self) -> None:
        TransformerConfig.__post_init__(self)
        if not 0 < self.hidden_share < 1:
            raise ConfigError("hidden_share", self.hidden_share, "must lie in (0, 1)", "use (0, 1)")
        if not 0 <= self.last_share <= 1:
            raise ConfigError("last_share", self.last_share, "is a share", "use 0 to 1")


class BERT4RecNetwork(TransformerNetwork):
    """Each position attends to all positions. A mask token after the history stands for the next item.

    Departures from the paper: pre-normalised blocks, and no layer between hidden states and item vectors.
    """

    def __init__(self, items: int, config: BERT4RecConfig) -> None:
        super().__init__(items, config)
        self.hidden_share, self.last_share = config.hidden_share, config.last_share

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        padding = torch.arange(tokens.shape[1], device=tokens.device) >= lengths[:, None]  # True: may not be read
        return self.blocks(self.embedded(tokens, lengths), src_key_padding_mask=padding)

    def rows_to_learn(self, sequences: Sequence[IntArray], generator: torch.Generator) -> Rows:
        """Rows in which some items are masked and are the targets; the last item is masked where none was drawn."""
        targets = self.padded(sequences, NOT_A_TARGET)
        lengths = lengths_of(sequences)
        places = torch.arange(targets.shape[1])
        hidden = torch.rand(targets.shape, generator=generator) < self.hidden_share  # [n, T]
        hidden &= places < lengths[:, None]
        only_last = torch.rand(len(sequences), generator=generator) < self.last_share
        only_last |= ~hidden.any(dim=1)
        hidden = torch.where(only_last[:, None], places == lengths[:, None] - 1, hidden)
        tokens = targets.masked_fill(hidden | (targets == NOT_A_TARGET), self.blank)
        return Rows(tokens, lengths, targets.masked_fill(~hidden, NOT_A_TARGET))

    def rows_to_read(self, histories: Sequence[IntArray]) -> Rows:
        """Each history with a mask token at its end."""
        recent = [np.r_[latest(history, self.max_length - 1), [self.blank]] for history in histories]
        tokens = self.padded(recent, self.blank)
        return Rows(tokens, lengths_of(recent), torch.full_like(tokens, NOT_A_TARGET))


class BERT4Rec(SequenceBaseline):
    """Predicts the masked item after the history.

    Source: Sun et al., "BERT4Rec: sequential recommendation with bidirectional encoder representations from
    transformer" (arXiv:1904.06690) section 3.
    """

    NAME = "bert4rec"
    CONFIG = BERT4RecConfig
    NETWORK = BERT4RecNetwork
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**SequenceBaseline.SEARCH, "hidden_share": (0.2, 0.3, 0.5)}
