"""Neighbours in a sentence encoder's space: items whose text means what the text of the history means.

Entry point: `EncoderNeighbours`. Reads item texts only, so items without training events are ranked like all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.classical.content import has_text
from reckon.baselines.classical.interactions import check_decay, history_weights
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError
from reckon.models.sentence_encoder import STATIC, new_encoder
from reckon.prompts import item_text

TEXTS_AT_ONCE = 512  # between two reports of progress


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Settings of `sentence-encoder`."""

    encoder: str = STATIC
    """`static`, made of the catalog's own text, or a sentence-transformers model: hub id or folder."""

    item_words: int = 64
    """Words of an item's text after its title, >= 0; 0 keeps only the title."""

    decay: float = 0.5
    """Weight of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same weight."""

    def __post_init__(self) -> None:
        if self.item_words < 0:
            raise ConfigError("item_words", self.item_words, "must not be negative", "use 0 or more")
        check_decay(self.decay)


class EncoderNeighbours(Baseline):
    """Score of an item: cosine between its vector and the recency-weighted sum of the history's vectors.

    The encoder is frozen. With repeats allowed, items of the history rank first, because an item is most similar to
    itself.

    Source: Reimers, Gurevych, "Sentence-BERT" (arXiv 1908.10084) section 3 for the vectors. The recency weight is ours.
    """

    NAME = "sentence-encoder"
    CONFIG = EncoderConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "item_words": (0, 32, 64, 128),
        "decay": (0.3, 0.5, 0.7, 0.9, 1.0),
    }

    def __init__(self, catalog: Catalog, config: EncoderConfig, vectors: Tensor, exclude_seen: bool = True) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.vectors = vectors  # [I, D], rows of length 1, or 0 for a text without a word

    @classmethod
    def learn(cls, dataset: Dataset, config: EncoderConfig, fitting: Fitting) -> Self:
        """See `Baseline.fit`.

        Raises:
            DataError: the items have no text.
            MissingExtraError: the encoder needs sentence-transformers.
            CheckpointError: there is no such encoder.
        """
        catalog = dataset.catalog
        if not has_text(catalog):
            fix = f"leave `{cls.NAME}` out, or add item titles"
            raise DataError(str(dataset.path), "has no item text to compare", fix)
        texts = [item_text(catalog.record(index), config.item_words) for index in range(len(catalog))]
        encoder = new_encoder(config.encoder, texts)
        parts = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            parts.append(encoder.encode(texts[start : start + TEXTS_AT_ONCE]))
            fitting.on_progress(min(1.0, (start + TEXTS_AT_ONCE) / len(texts)))
        return cls(catalog, config, torch.cat(parts), fitting.exclude_seen)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        weights = history_weights(histories, len(self.catalog), self.config.decay)  # [n, I]
        profiles = torch.from_numpy(weights @ self.vectors.numpy()).float()  # [n, D]
        return normalize(profiles, dim=1) @ self.vectors.T

    def tensors(self) -> dict[str, Tensor]:
        return {"vectors": self.vectors}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, tensors["vectors"], exclude_seen)
