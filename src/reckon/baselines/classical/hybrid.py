"""A hybrid of content, co-occurrence and popularity, weighted by what helps on validation rows.

Entry point: `Hybrid`. Simple, and strong where interactions are few and items have text.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting, validation_rows
from reckon.baselines.classical.content import TfidfConfig, TfidfNeighbours, has_text
from reckon.baselines.classical.interactions import (
    check_decay,
    history_weights,
    sparse_matrix,
    sparse_tensors,
    training_sequences,
)
from reckon.baselines.classical.neighbours import co_occurrence
from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import IntArray
from reckon.errors import ConfigError
from reckon.metrics.ranking import rank_values
from reckon.models.scoring import block_ranks

CONTENT_WEIGHTS = (1.0, 0.0)
CO_OCCURRENCE_WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 2.0, 4.0)
POPULARITY_WEIGHTS = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
TUNED_METRIC = "ndcg@10"  # by which weights are chosen
ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridConfig:
    """Settings of `hybrid`. Its three weights are no settings: they are chosen on the validation rows."""

    content_decay: float = 0.3
    """For the content: weight of an event of the history relative to the next newer one, in (0, 1]."""

    item_words: int = 128
    """For the content: words of an item's text after its title, >= 0."""

    decay: float = 0.8
    """For the co-occurrence: weight of an event of the history relative to the next newer one, in (0, 1]."""

    backward: float = 0.5
    """What it counts that an item came before another, relative to coming after it, >= 0. 1 is symmetric."""

    pair_decay: float = 0.7
    """What a pair of items counts for each event between them in a sequence, in (0, 1]."""

    dampening: float = 0.3
    """Power of the product of two items' frequencies that their co-occurrence is divided by, >= 0; 0.5 is like a
    cosine."""

    validation_rows: int = 5_000
    """Validation rows on which the weights are chosen, drawn once, > 0."""

    def __post_init__(self) -> None:
        check_decay(self.content_decay, "content_decay")
        check_decay(self.decay)
        check_decay(self.pair_decay, "pair_decay")
        for field in ("item_words", "backward", "dampening"):
            if not getattr(self, field) >= 0:
                raise ConfigError(field, getattr(self, field), "must not be negative", "use 0 or more")
        if self.validation_rows < 1:
            raise ConfigError("validation_rows", self.validation_rows, "nothing to choose weights on", "use 1 or more")


class Hybrid(Baseline):
    """Weighted sum of three scores: TF-IDF cosine with the history, co-occurrence with it, log(1 + training count).

    Each is standardised over the catalog for each history (mean 0, standard deviation 1; an all-equal score is 0), so
    weights mean the same for every history. Co-occurrence is directed: what came soon after an item counts most, and
    is divided by (frequency · frequency) ** dampening. The weights are those of a grid with the best NDCG@10 on
    validation rows; the first of equals. Data without item text has no content part.

    Source: ours; weighted hybrids in Burke, "Hybrid recommender systems" (2002) section 3.
    """

    NAME = "hybrid"
    CONFIG = HybridConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "content_decay": (0.2, 0.3, 0.5, 0.7, 0.9),
        "item_words": (32, 64, 128),
        "decay": (0.5, 0.7, 0.8, 0.9),
        "backward": (0.0, 0.2, 0.5, 1.0),
        "dampening": (0.0, 0.2, 0.3, 0.5),
    }

    def __init__(
        self,
        catalog: Catalog,
        config: HybridConfig,
        content: TfidfNeighbours | None,
        follows: sp.csr_matrix,
        popularity: Tensor,
        weights: Tensor,
        exclude_seen: bool = True,
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.content = content
        self.follows = follows  # [I, I] dampened co-occurrence, from item, to item
        self.popularity = popularity  # [I] log(1 + training count)
        self.weights = weights  # [3] content, co-occurrence, popularity

    @classmethod
    def learn(cls, dataset: Dataset, config: HybridConfig, fitting: Fitting) -> Self:
        catalog, content = dataset.catalog, None
        if has_text(catalog):
            words = TfidfConfig(item_words=config.item_words, decay=config.content_decay)
            content = TfidfNeighbours.fit(dataset, words, exclude_seen=fitting.exclude_seen)
        pairs = co_occurrence(
            training_sequences(dataset), len(catalog), backward=config.backward, decay=config.pair_decay
        )
        counts = dataset.train_counts
        popularity = torch.from_numpy(np.log1p(counts).astype(np.float32))
        untuned = torch.tensor([1.0 if content else 0.0, 1.0, 1.0])
        fitted = cls(
            catalog,
            config,
            content,
            dampened(pairs, counts, config.dampening),
            popularity,
            untuned,
            fitting.exclude_seen,
        )
        valid = validation_rows(dataset, config.validation_rows, fitting.seed)
        fitted.weights = fitted.best_weights(valid, fitting.on_progress)
        return fitted

    def parts(self, histories: Sequence[IntArray]) -> Tensor:
        """[3, n, I] standardised content, co-occurrence and popularity scores."""
        content = torch.zeros(len(histories), len(self.catalog))
        if self.content is not None:
            content = self.content.scores(histories)
        profile = history_weights(histories, len(self.catalog), self.config.decay)
        together = torch.from_numpy((profile @ self.follows).toarray())
        return torch.stack([standardised(part) for part in (content, together, self.popularity.expand_as(content))])

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        return torch.einsum("p,pni->ni", self.weights, self.parts(histories))

    def best_weights(self, valid: Examples, on_progress: Callable[[float], None] | None = None) -> Tensor:
        """[3] the weights of the grid with the best NDCG@10 on rows."""
        contents = CONTENT_WEIGHTS if self.content else (0.0,)
        grid = torch.tensor([
            weights
            for weights in itertools.product(contents, CO_OCCURRENCE_WEIGHTS, POPULARITY_WEIGHTS)
            if any(weights)
        ])  # [W, 3]  # fmt: skip
        total = torch.zeros(len(grid))
        targets = torch.from_numpy(valid.targets.astype(np.int64))
        for start in range(0, len(valid), ROWS_AT_ONCE):
            rows = range(start, min(start + ROWS_AT_ONCE, len(valid)))
            parts = self.parts([valid.history(row) for row in rows])
            if self.exclude_seen:
                for place, row in enumerate(rows):
                    parts[:, place, torch.from_numpy(valid.seen(row).astype(np.int64))] = -torch.inf
            total += torch.tensor([_ndcg(weights, parts, targets[rows.start : rows.stop]) for weights in grid])
            if on_progress is not None:
                on_progress(rows.stop / len(valid))
        return grid[total.argmax()]

    def tensors(self) -> dict[str, Tensor]:
        content = {} if self.content is None else self.content.tensors()
        return content | sparse_tensors("follows", self.follows) | {
            "popularity": self.popularity,
            "weights": self.weights,
        }  # fmt: skip

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        content = None
        if "vectors.values" in tensors:
            words = TfidfConfig(item_words=config.item_words, decay=config.content_decay)
            content = TfidfNeighbours.from_tensors(catalog, words, exclude_seen, tensors)
        follows = sparse_matrix("follows", tensors)
        return cls(catalog, config, content, follows, tensors["popularity"], tensors["weights"], exclude_seen)


def dampened(pairs: sp.csr_matrix, counts: IntArray, power: float) -> sp.csr_matrix:
    """[I, I] pairs divided by (count · count) ** power, for how often two items [I] occur in training."""
    places = pairs.tocoo()
    values = places.data / (counts[places.row].astype(np.float64) * counts[places.col]) ** power
    return sp.csr_matrix((values.astype(np.float32), (places.row, places.col)), shape=pairs.shape)


def standardised(scores: Tensor) -> Tensor:
    """[n, I] with mean 0 and standard deviation 1 in each row; 0 where all items of a row are equal."""
    centered = scores - scores.mean(dim=1, keepdim=True)
    spread = centered.square().mean(dim=1, keepdim=True).sqrt()
    equal = (scores == scores[:, :1]).all(dim=1, keepdim=True)  # their mean differs by a rounding error
    return torch.where(equal, 0.0, centered / spread)


def _ndcg(weights: Tensor, parts: Tensor, targets: Tensor) -> float:
    """Sum of NDCG@10 over rows, for parts [3, n, I]."""
    used = weights != 0  # an excluded item is -inf, and 0 * -inf is no number
    ranks = block_ranks(torch.einsum("p,pni->ni", weights[used], parts[used]), targets)
    return float(rank_values(ranks.numpy(), TUNED_METRIC, parts.shape[2]).sum())
