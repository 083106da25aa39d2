"""What a ranking method reads out of a batch of histories: user vectors, and the reasonings behind them.

Entry point: `Reading`, which `RankingModel.reading` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from reckon.prompts.histories import FittedHistory


@dataclass(frozen=True, slots=True)
class Reading:
    """The model's reading of n histories."""

    queries: Tensor  # [n, D] user vectors, whose product with the item table is the score
    reasonings: list[str | None]
    """Reasoning about each history; None without reasoning."""
    truncated: list[bool]
    """True where the reply is truncated."""
    lengths: list[int]
    """Sampled reply tokens; 0 without reasoning."""
    parsed: list[bool] | None = None
    """True where the reply parsed; None for methods whose replies need no parsing."""
    prompts: Sequence[FittedHistory] = ()
    """Prompts; empty where the language model read none."""

    @classmethod
    def silent(cls, queries: Tensor, prompts: Sequence[FittedHistory] = ()) -> "Reading":
        """A reading without reasoning."""
        n = len(queries)
        return cls(queries, [None] * n, [False] * n, [0] * n, prompts=prompts)
