"""TF-IDF neighbours: items whose text is similar to the text of the history.

Entry point: `TfidfNeighbours`. Reads item texts only, so items without training events are ranked like all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.classical.interactions import check_decay, history_weights, sparse_matrix, sparse_tensors
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError
from reckon.prompts import item_text


@dataclass(frozen=True, slots=True, kw_only=True)
class TfidfConfig:
    """Settings of `tfidf`."""

    item_words: int = 64
    """Words of an item's text after its title, >= 0; 0 keeps only the title."""

    phrase: int = 1
    """Longest phrase that is a feature, in words, > 0; 2 adds pairs of neighbouring words."""

    decay: float = 0.5
    """Weight of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same weight."""

    def __post_init__(self) -> None:
        if self.item_words < 0:
            raise ConfigError("item_words", self.item_words, "must not be negative", "use 0 or more")
        if self.phrase < 1:
            raise ConfigError("phrase", self.phrase, "a phrase has at least one word", "use 1 or more")
        check_decay(self.decay)


class TfidfNeighbours(Baseline):
    """Score of an item: cosine between its TF-IDF vector and the recency-weighted sum of the history's vectors.

    Term counts enter as 1 + log(count); vectors have length 1. With repeats allowed, items of the history rank first,
    because an item is most similar to itself.

    Source: Salton, Buckley, "Term-weighting approaches in automatic text retrieval" (1988); the profile of a history as
    in Lops et al., Recommender Systems Handbook (2011), section 3.3. The recency weight is ours.
    """

    NAME = "tfidf"
    CONFIG = TfidfConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "item_words": (0, 32, 64, 128),
        "phrase": (1, 2),
        "decay": (0.3, 0.5, 0.7, 0.9, 1.0),
    }

    def __init__(
        self, catalog: Catalog, config: TfidfConfig, vectors: sp.csr_matrix, exclude_seen: bool = True
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.vectors = vectors  # [I, V], rows of length 1

    @classmethod
    def learn(cls, dataset: Dataset, config: TfidfConfig, fitting: Fitting) -> Self:
        """See `Baseline.fit`. Raises DataError where the items have no text."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        catalog = dataset.catalog
        if not has_text(catalog):
            raise DataError(str(dataset.path), "has no item text to compare", "leave `tfidf` out, or add item titles")
        texts = [item_text(catalog.record(index), config.item_words) for index in range(len(catalog))]
        vectorizer = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, config.phrase), dtype=np.float32)
        return cls(catalog, config, vectorizer.fit_transform(texts), fitting.exclude_seen)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        from sklearn.preprocessing import normalize

        profiles = normalize(history_weights(histories, len(self.catalog), self.config.decay) @ self.vectors)
        return torch.from_numpy((profiles @ self.vectors.T).toarray())

    def tensors(self) -> dict[str, Tensor]:
        return sparse_tensors("vectors", self.vectors)

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, sparse_matrix("vectors", tensors), exclude_seen)


def has_text(catalog: Catalog) -> bool:
    """Whether any item has a title or another text, beyond its id."""
    texts = [name for name in catalog.table.column_names if name != "item_id"]
    return any(isinstance(value, str) and value.strip() for name in texts for value in catalog.table[name].to_pylist())
