"""SASRec: a causal transformer over the history.

Entry point: `SASRec`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.baselines.sequential.transformer import TransformerConfig, TransformerNetwork


class SASRecNetwork(TransformerNetwork):
    """Each position attends to itself and to earlier positions.

    Departures from the paper, where later work showed gains: pre-normalised blocks, a feed-forward part four times as
    wide, and a loss over the whole catalog (see `reckon.baselines.sequential.sequences.next_item_loss`).
    """

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        length = tokens.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=tokens.device).triu(1)  # True: may not be read
        return self.blocks(self.embedded(tokens, lengths), mask=later, is_causal=True)


class SASRec(SequenceBaseline):
    """Scores items by causal self-attention over the history.

    Source: Kang, McAuley, "Self-attentive sequential recommendation" (arXiv:1808.09781) section III.
    """

    NAME = "sasrec"
    CONFIG = TransformerConfig
    NETWORK = SASRecNetwork
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {**SequenceBaseline.SEARCH, "layers": (1, 2)}
