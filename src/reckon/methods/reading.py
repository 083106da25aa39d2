"""What a ranking method reads out of a batch of histories: user vectors, and the reasonings behind them.

Entry points: `Reading`, which `RankingModel.reading` returns; `StreamedReasoning` for a reasoning that is shown while
it is written.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
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
    def mean(cls, readings: Sequence["Reading"]) -> "Reading":
        """Several readings of the same histories as one: the mean of their user vectors, so every item's score is the
        mean of its scores; the first one's reasonings, the tokens of all, and a truncated or unparsed reply of any."""
        first = readings[0]
        parsed = [one.parsed for one in readings if one.parsed is not None]
        return replace(
            first,
            queries=torch.stack([one.queries for one in readings]).mean(dim=0),
            truncated=[any(row) for row in zip(*(one.truncated for one in readings), strict=True)],
            lengths=[sum(row) for row in zip(*(one.lengths for one in readings), strict=True)],
            parsed=[all(row) for row in zip(*parsed, strict=True)] if parsed else None,
        )

    @classmethod
    def silent(cls, queries: Tensor, prompts: Sequence[FittedHistory] = ()) -> "Reading":
        """A reading without reasoning."""
        n = len(queries)
        return cls(queries, [None] * n, [False] * n, [0] * n, prompts=prompts)


class StreamedReasoning:
    """A reasoning in pieces, while its reply grows token by token."""

    def __init__(self, shown: Callable[[list[int], bool], str]) -> None:
        """`shown` as `RankingModel.shown`."""
        self._shown = shown
        self._written: list[int] = []
        self._told = 0

    def add(self, token: int) -> str:
        """The piece that becomes complete with a token; often empty."""
        self._written.append(token)
        settled = self._shown(self._written, False)
        # A character of several tokens is shown when it is complete.
        return "" if settled.endswith("\ufffd") else self._piece(settled)

    def end(self) -> str:
        """The last piece, once the reply has ended."""
        return self._piece(self._shown(self._written, True))

    def _piece(self, settled: str) -> str:
        piece, self._told = settled[self._told :], max(self._told, len(settled))
        return piece
