"""BIGRec: write the title of the next item, then recommend the items with the most similar titles.

Entry point: `BIGRec`. Step one fine-tunes the language model to write titles (`TitleWriter`). Step two maps the written
title to the catalog: L2 distance between its embedding and the embedding of each item's title, weighted by popularity.

An embedding is the mean of the fine-tuned model's final hidden states over the tokens of a title, read without a
prompt. (The state of the last token alone mostly encodes that the title ends.) One title per user is decoded greedily.

Source: Bao et al. 2023, A Bi-Step Grounding Paradigm for Large Language Models in Recommendation Systems
(arXiv 2308.08434) section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting, validation_rows
from reckon.baselines.generative.title_writer import WRITER_SEARCH, TitleWriter, WriterConfig
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError
from reckon.metrics.ranking import rank_values
from reckon.models.scoring import block_ranks

GAMMAS = (0.0, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BIGRecConfig(WriterConfig):
    """Settings of `bigrec`."""

    gamma: float | None = None
    """Exponent of the popularity weight, >= 0: distances are divided by (1 + popularity) ** gamma. null chooses the
    best of a few values on validation rows."""

    def __post_init__(self) -> None:
        WriterConfig.__post_init__(self)  # super() does not work in a dataclass with slots
        if self.gamma is not None and self.gamma < 0:
            raise ConfigError("gamma", self.gamma, "must not be negative", "use 0 for none, or null to tune it")


class BIGRec(Baseline):
    """Ranks items by the distance of their titles to the written title."""

    NAME = "bigrec"
    CONFIG = BIGRecConfig
    SEARCH = WRITER_SEARCH

    def __init__(
        self,
        catalog: Catalog,
        config: BIGRecConfig,
        exclude_seen: bool,
        writer: TitleWriter,
        counts: Tensor,
        gamma: float,
    ) -> None:
        """`counts` [I] are the training interactions of each item; `gamma` is the exponent of their weight."""
        super().__init__(catalog, config, exclude_seen)
        self.writer, self.counts, self.gamma = writer, counts, gamma
        self.item_vectors = writer.embed(writer.titles)  # [I, D]

    @classmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        writer = TitleWriter.fit(dataset, config, fitting.seed, fitting.on_progress)
        counts = torch.from_numpy(np.asarray(dataset.train_counts, dtype=np.int64))
        fitted = cls(dataset.catalog, config, fitting.exclude_seen, writer, counts, config.gamma or 0.0)
        if config.gamma is None:
            fitted.gamma = fitted._best_gamma(dataset, fitting.seed)
        return fitted

    def _best_gamma(self, dataset: Dataset, seed: int) -> float:
        """The gamma with the best NDCG@10 on the validation rows of early stopping."""
        rows = validation_rows(dataset, self.config.validation_size, seed, self.config.window)
        distances = self.distances([rows.history(row) for row in range(len(rows))])
        targets = torch.from_numpy(rows.targets.astype(np.int64))
        found = {}
        for gamma in GAMMAS:
            scores = -weighted_by_popularity(distances, self.counts, gamma)
            for row in range(len(rows) if self.exclude_seen else 0):
                scores[row, torch.from_numpy(rows.seen(row).astype(np.int64))] = -torch.inf
            ranks = block_ranks(scores, targets).numpy()
            found[gamma] = float(rank_values(ranks, "ndcg@10", len(self.catalog)).mean())
        return max(GAMMAS, key=lambda gamma: found[gamma])  # ties go to the smallest

    def distances(self, histories: Sequence[IntArray]) -> Tensor:
        """L2 distance between the title written for each history and every item's title: [n, I]."""
        return torch.cdist(self.writer.embed(self.writer.write(histories)), self.item_vectors)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        return -weighted_by_popularity(self.distances(histories), self.counts, self.gamma)

    def tensors(self) -> dict[str, Tensor]:
        return {"counts": self.counts, "gamma": torch.tensor(self.gamma, dtype=torch.float64)}

    @property
    def numbers_learned(self) -> int:
        return super().numbers_learned + self.writer.numbers_learned

    @classmethod
    def from_tensors(
        cls,
        catalog: Catalog,
        config: Any,
        exclude_seen: bool,
        tensors: dict[str, Tensor],
        writer: TitleWriter | None = None,
    ) -> Self:
        assert writer is not None  # from `load_parts`
        return cls(catalog, config, exclude_seen, writer, tensors["counts"], float(tensors["gamma"]))

    def save_parts(self, folder: Path) -> None:
        self.writer.save(folder)

    @classmethod
    def load_parts(cls, folder: Path, catalog: Catalog, config: Any) -> dict[str, Any]:
        return {"writer": TitleWriter.load(folder, catalog.titles, config)}


def weighted_by_popularity(distances: Tensor, counts: Tensor, gamma: float) -> Tensor:
    """Distances [n, I], scaled to 0..1 in each row and divided by (1 + popularity) ** gamma.

    Args:
        distances: [n, I], >= 0.
        counts: [I] training interactions; popularity is their share, scaled to 0..1 over the catalog.
        gamma: >= 0; 0 keeps the order of the distances. The nearest item stays the nearest for every gamma.

    Source: arXiv 2308.08434 section 3.2, statistical information injected into the L2 distance.
    """
    near, far = distances.amin(dim=1, keepdim=True), distances.amax(dim=1, keepdim=True)
    between = (distances - near) / (far - near).clamp_min(1e-12)
    numbers = counts.double()
    popularity = (numbers - numbers.min()) / (numbers.max() - numbers.min()).clamp_min(1)  # [I]
    return (between.double() / (1 + popularity) ** gamma).float()
