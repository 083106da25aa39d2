"""A hybrid of content, co-occurrence and popularity with weights chosen on validation rows.

Entry point: `Hybrid`. A strong baseline for data with few interactions and item text.
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
from reckon.baselines.classical.encoded import EncoderConfig, EncoderNeighbours
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
TUNED_METRIC = "ndcg@10"  # chooses the weights
ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class HybridConfig:
    """Settings of `hybrid`. The three weights are not among them: fitting chooses them on validation rows."""

    encoder: str = ""
    """Content score: a sentence encoder as of `sentence-encoder`; empty: TF-IDF."""

    content_decay: float = 0.3
    """Content score: weight of a history event relative to the next newer one, in (0, 1]."""

    item_words: int = 128
    """Content score: words of an item's text after its title, >= 0."""

    decay: float = 0.8
    """Co-occurrence score: weight of a history event relative to the next newer one, in (0, 1]."""

    backward: float = 0.5
    """Weight of a pair in reverse order (the scored item came first) relative to a pair in order, >= 0; 1 is
    symmetric."""

    pair_decay: float = 0.7
    """Factor on a pair's weight for each event between the two items, in (0, 1]."""

    dampening: float = 0.3
    """Exponent p >= 0: the co-occurrence of two items is divided by (product of their frequencies) ** p; 0.5 is like a
    cosine."""

    validation_rows: int = 5_000
    """Most validation rows that choose the weights, drawn once, > 0."""

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
    """Weighted sum of three scores: cosine of item text with the history's, by TF-IDF or a sentence encoder;
    co-occurrence with the history; log(1 + training count).

    Each score is standardised over the catalog per history (mean 0, standard deviation 1; an all-equal score is 0), so
    that a weight has the same effect for every history. Co-occurrence is directed: items that came soon after an item
    count most; it is divided by (frequency · frequency) ** dampening. The weights are the first of a grid with the best
    NDCG@10 on validation rows. Data without item text has no content part.

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
        content: TfidfNeighbours | EncoderNeighbours | None,
        follows: sp.csr_matrix,
        popularity: Tensor,
        weights: Tensor,
        exclude_seen: bool = True,
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.content = content
        self.follows = follows  # [I, I] dampened co-occurrence; row: earlier item, column: later item
        self.popularity = popularity  # [I] log(1 + training count)
        self.weights = weights  # [3] content, co-occurrence, popularity

    @classmethod
    def learn(cls, dataset: Dataset, config: HybridConfig, fitting: Fitting) -> Self:
        catalog = dataset.catalog
        content: TfidfNeighbours | EncoderNeighbours | None = None
        if has_text(catalog):
            kind, settings = content_of(config)
            content = kind.fit(dataset, settings, exclude_seen=fitting.exclude_seen)
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
        """Weights [3] of the grid with the best NDCG@10 on these rows."""
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

    @property
    def facts(self) -> dict[str, Any]:
        parts = ("content", "co-occurrence", "popularity")
        return super().facts | {"weights": dict(zip(parts, rounded(self.weights), strict=True))}

    def tensors(self) -> dict[str, Tensor]:
        content = {} if self.content is None else self.content.tensors()
        return content | sparse_tensors("follows", self.follows) | {
            "popularity": self.popularity,
            "weights": self.weights,
        }  # fmt: skip

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        content = None
        if any(name.startswith("vectors") for name in tensors):
            kind, settings = content_of(config)
            content = kind.from_tensors(catalog, settings, exclude_seen, tensors)
        follows = sparse_matrix("follows", tensors)
        return cls(catalog, config, content, follows, tensors["popularity"], tensors["weights"], exclude_seen)


def content_of(config: HybridConfig) -> tuple[type[TfidfNeighbours] | type[EncoderNeighbours], Any]:
    """Class and settings of the content part."""
    words, decay = config.item_words, config.content_decay
    if config.encoder:
        return EncoderNeighbours, EncoderConfig(encoder=config.encoder, item_words=words, decay=decay)
    return TfidfNeighbours, TfidfConfig(item_words=words, decay=decay)


def rounded(weights: Tensor) -> list[float]:
    """Weights [M] for a person to read."""
    return [round(weight, 4) for weight in weights.tolist()]


def dampened(pairs: sp.csr_matrix, counts: IntArray, power: float) -> sp.csr_matrix:
    """Pair counts [I, I] divided by (count_i · count_j) ** power, with `counts` [I] the training events of each
    item."""
    places = pairs.tocoo()
    values = places.data / (counts[places.row].astype(np.float64) * counts[places.col]) ** power
    return sp.csr_matrix((values.astype(np.float32), (places.row, places.col)), shape=pairs.shape)


def standardised(scores: Tensor) -> Tensor:
    """[n, I] with mean 0 and standard deviation 1 in each row; 0 where all items of a row are equal."""
    centered = scores - scores.mean(dim=1, keepdim=True)
    spread = centered.square().mean(dim=1, keepdim=True).sqrt()
    equal = (scores == scores[:, :1]).all(dim=1, keepdim=True)  # their mean may differ from them by a rounding error
    return torch.where(equal, 0.0, centered / spread)


def _ndcg(weights: Tensor, parts: Tensor, targets: Tensor) -> float:
    """Sum of NDCG@10 over rows, for parts [3, n, I]."""
    used = weights != 0  # excluded items are -inf, and 0 * -inf is NaN
    ranks = block_ranks(torch.einsum("p,pni->ni", weights[used], parts[used]), targets)
    return float(rank_values(ranks.numpy(), TUNED_METRIC, parts.shape[2]).sum())
