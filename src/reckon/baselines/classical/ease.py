"""EASE: a linear item-to-item model with a closed-form solution.

Entry point: `EASE`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.classical.interactions import check_decay, history_weights, training_matrix
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError

MOST_ITEMS = 30_000  # with training events; the inverse takes 8 bytes x items² (7 GB) and time that grows with items³


@dataclass(frozen=True, slots=True, kw_only=True)
class EASEConfig:
    """Settings of `ease`."""

    penalty: float = 100.0
    """L2 penalty of the coefficients, > 0, in users; a higher value shrinks the coefficients of rare items."""

    decay: float = 1.0
    """Weight of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same weight, as in
    the paper."""

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise ConfigError("penalty", self.penalty, "the closed form divides by it", "use more than 0")
        check_decay(self.decay)


class EASE(Baseline):
    """Score of the items: the history times a matrix of coefficients B, the solution of

        min over B of ||X - X B||² + penalty ||B||², diagonal of B zero,

    with X [U, I] the training interactions: P = (XᵀX + penalty · 1)⁻¹, B_ij = -P_ij / P_jj off the diagonal.
    Only the K items with training events have coefficients.

    Source: Steck, "Embarrassingly shallow autoencoders for sparse data" (arXiv:1905.03375) section 3.1, equation 8.
    """

    NAME = "ease"
    CONFIG = EASEConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "penalty": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0),
        "decay": (0.5, 0.7, 0.8, 0.9, 1.0),
    }

    def __init__(
        self, catalog: Catalog, config: EASEConfig, known: Tensor, weights: Tensor, exclude_seen: bool = True
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.known, self.weights = known, weights  # [K] item indices, [K, K] from item, to item

    @classmethod
    def learn(cls, dataset: Dataset, config: EASEConfig, fitting: Fitting) -> Self:
        """See `Baseline.fit`.

        Raises:
            DataError: more than MOST_ITEMS items have training events, or there are no training events.
        """
        known = np.flatnonzero(dataset.train_counts)
        if len(known) > MOST_ITEMS:
            raise DataError(
                str(dataset.path),
                f"has {len(known):,} items with training events, and EASE inverts a matrix of that size",
                f"leave `ease` out, or keep fewer items (at most {MOST_ITEMS:,})",
            )
        taken = training_matrix(dataset)[:, known]
        gram = torch.from_numpy((taken.T @ taken).toarray().astype(np.float64))
        return cls(
            dataset.catalog,
            config,
            torch.from_numpy(known),
            item_weights(gram, config.penalty).float(),
            fitting.exclude_seen,
        )

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        profile = history_weights(histories, len(self.catalog), self.config.decay)[:, self.known.numpy()]
        result = torch.zeros(len(histories), len(self.catalog))
        result[:, self.known] = torch.from_numpy(profile.toarray()) @ self.weights
        return result

    def tensors(self) -> dict[str, Tensor]:
        return {"known": self.known, "weights": self.weights}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, tensors["known"], tensors["weights"], exclude_seen)


def item_weights(gram: Tensor, penalty: float) -> Tensor:
    """EASE's B [K, K] for XᵀX [K, K], float64; `gram` is overwritten."""
    gram.diagonal().add_(penalty)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = -inverse / inverse.diagonal()  # column j divided by P_jj
    weights.fill_diagonal_(0.0)
    return weights
