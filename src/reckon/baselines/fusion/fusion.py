"""Fusion: one list from several recommenders, with weights chosen on validation rows.

Entry point: `Fusion`, the baseline `fusion`. Its members are other baselines and finished runs of methods that reason,
so a user gets the best list whether reasoning helps or not. Each recommendation says what every member gave.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting, validation_rows
from reckon.baselines.classical.hybrid import rounded, standardised
from reckon.baselines.fusion.members import Member, new_members, save_members, stored
from reckon.baselines.fusion.weights import (
    LENGTH_NAMES,
    Candidates,
    best_weights,
    length_group,
    weights_by_length,
)
from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import IntArray
from reckon.errors import ConfigError
from reckon.models.recommender import Recommendation

MOST_MEMBERS = 5
ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """Settings of `fusion`. The weights are not among them: fitting chooses them on validation rows."""

    members: tuple[str, ...] = ("tfidf", "item-knn", "popularity")
    """Recommenders, 2 to 5 with those of `without_reasoning`: baselines by name, and folders of finished runs that
    rank."""

    without_reasoning: tuple[str, ...] = ()
    """Further members: folders of finished runs that reason, read without their reasoning."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings of baselines among the members, by the baseline's name."""

    by_length: bool = False
    """Whether short, middle and long histories (at most 2, at most 5, more events) may have weights of their own."""

    validation_rows: int = 5_000
    """Most validation rows that choose the weights, drawn once, > 0."""

    def __post_init__(self) -> None:
        names = [*self.members, *self.without_reasoning]
        if not 2 <= len(names) <= MOST_MEMBERS:
            raise ConfigError("members", names, f"must be 2 to {MOST_MEMBERS} recommenders", "name more, or fewer")
        for field_name, given in (("members", self.members), ("without_reasoning", self.without_reasoning)):
            if len(set(given)) < len(given):
                raise ConfigError(field_name, list(given), "names a recommender twice", "name each once")
        for name, settings in self.settings.items():
            if name not in self.members:
                raise ConfigError(f"settings.{name}", settings, "is of no member", "leave it out")
        if self.validation_rows < 1:
            raise ConfigError("validation_rows", self.validation_rows, "nothing to choose weights on", "use 1 or more")


class Fusion(Baseline):
    """Weighted sum of its members' scores, each standardised over the catalog per history (mean 0, deviation 1).

    The weights have the highest NDCG@10 on validation rows that coordinate ascent finds; lengths of history have their
    own where these hold on rows that did not choose them. Members that stop their training by validation rows see the
    same rows.

    Source: Fox, Shaw, "Combination of multiple searches" (1994), CombSUM; weights, standardised scores and lengths are
    ours.
    """

    NAME = "fusion"
    CONFIG = FusionConfig

    def __init__(
        self,
        catalog: Catalog,
        config: FusionConfig,
        members: Sequence[Member],
        weights: Tensor,
        exclude_seen: bool = True,
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.members = members
        self.weights = weights  # [L, M] by length of history and member

    @classmethod
    def learn(cls, dataset: Dataset, config: FusionConfig, fitting: Fitting) -> Self:
        members = new_members(config.members, config.without_reasoning, config.settings, dataset, fitting)
        fitted = cls(dataset.catalog, config, members, torch.ones(1, len(members)), fitting.exclude_seen)
        fitted.weights = fitted.chosen_weights(validation_rows(dataset, config.validation_rows, fitting.seed))
        return fitted

    def chosen_weights(self, valid: Examples) -> Tensor:
        """[L, M] weights by these rows; all lengths have the same where none has its own."""
        blocks = []
        targets = torch.from_numpy(valid.targets.astype(np.int64))
        for start in range(0, len(valid), ROWS_AT_ONCE):
            rows = range(start, min(start + ROWS_AT_ONCE, len(valid)))
            parts = torch.stack([standardised(member.of_rows(valid, rows)) for member in self.members])
            seen = [valid.seen(row) for row in rows] if self.exclude_seen else None
            blocks.append(Candidates.of_block(parts, targets[rows.start : rows.stop], seen))
        candidates = Candidates.joined(blocks)
        overall = best_weights(candidates)
        if not self.config.by_length:
            return overall[None]
        return weights_by_length(candidates, _lengths([valid.history(row) for row in range(len(valid))]), overall)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        return self.contributions(histories).sum(dim=0)

    def row_scores(self, examples: Examples, rows: range) -> Tensor:
        parts = [member.of_rows(examples, rows) for member in self.members]
        return self._weighted(parts, [examples.history(row) for row in rows]).sum(dim=0)

    def contributions(self, histories: Sequence[IntArray]) -> Tensor:
        """[M, n, I] what each member adds to each score."""
        return self._weighted([member.of_histories(histories) for member in self.members], histories)

    def _weighted(self, parts: Sequence[Tensor], histories: Sequence[IntArray]) -> Tensor:
        """[M, n, I] from each member's scores [n, I]."""
        group = length_group(_lengths(histories)) if len(self.weights) > 1 else torch.zeros(len(histories)).long()
        return torch.stack([standardised(part) for part in parts]) * self.weights[group].T[..., None]

    def listed(self, histories: Sequence[IntArray], k: int, exclude_seen: bool) -> list[Recommendation]:
        """See `Baseline.listed`; every list says what each member gave."""
        added = torch.empty(0)  # [M, n, I] of the block in hand

        def score(rows: range) -> Tensor:
            nonlocal added
            added = self.contributions(histories[rows.start : rows.stop])
            return added.sum(dim=0)

        answers: list[Recommendation] = []
        for _, scores in self._score_blocks(len(histories), score, histories if exclude_seen else None):
            for row, answer in enumerate(self._best(scores, k)):
                own = dict(zip(self._names, added[:, row, answer.items].tolist(), strict=True))
                answers.append(replace(answer, contributions=own))
        return answers

    @property
    def _names(self) -> list[str]:
        return [member.name for member in self.members]

    @property
    def facts(self) -> dict[str, Any]:
        histories = LENGTH_NAMES if len(self.weights) > 1 else ("all histories",)
        sets = zip(histories, self.weights, strict=True)
        weights = {name: dict(zip(self._names, rounded(own), strict=True)) for name, own in sets}
        return super().facts | {"weights": weights}

    def tensors(self) -> dict[str, Tensor]:
        return {"weights": self.weights}

    def save_parts(self, folder: Path) -> None:
        save_members(self.members, folder)

    @classmethod
    def load_parts(cls, folder: Path, catalog: Catalog, config: Any) -> dict[str, Any]:
        return {"members": stored(folder, catalog)}

    @classmethod
    def from_tensors(
        cls,
        catalog: Catalog,
        config: Any,
        exclude_seen: bool,
        tensors: dict[str, Tensor],
        members: Sequence[Member] = (),
    ) -> Self:
        return cls(catalog, config, members, tensors["weights"], exclude_seen)


def _lengths(histories: Sequence[IntArray]) -> Tensor:
    return torch.tensor([len(history) for history in histories])
