"""Matrix factorisation of interactions: ALS and BPR of the library `implicit` as baselines.

Entry points: `ALS` and `BPR`. Both need the extra `baselines`; without it fitting raises MissingExtraError. Every user
vector is computed from the history at prediction time, so users without training events are handled like all others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.classical.interactions import check_decay, history_weights, training_matrix
from reckon.data import Catalog, Dataset
from reckon.data.examples import FloatArray, IntArray
from reckon.errors import ConfigError, MissingExtraError

FOLD_IN_RIDGE = 0.1  # ridge, as a share of the mean square of the history means


@dataclass(frozen=True, slots=True, kw_only=True)
class ALSConfig:
    """Settings of `als`."""

    factors: int = 64
    """Width of user and item vectors, > 0."""

    regularization: float = 0.1
    """L2 penalty of the factors, >= 0."""

    alpha: float = 10.0
    """Confidence of an interaction, > 0; a pair without interaction has confidence 1."""

    iterations: int = 15
    """Alternations between users and items, > 0."""

    decay: float = 1.0
    """Confidence of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same
    confidence."""

    def __post_init__(self) -> None:
        _check_positive(self, "factors", "alpha", "iterations")
        if not self.regularization >= 0:
            raise ConfigError("regularization", self.regularization, "must not be negative", "use 0 or more")
        check_decay(self.decay)


class ALS(Baseline):
    """Weighted least squares of all user-item pairs, solved for users and items in turn.

    A history's vector is the library's least-squares step for one user given the item factors (`recalculate_user`), the
    same step as in training.

    Source: Hu, Koren, Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008, equations 3-5.
    """

    NAME = "als"
    CONFIG = ALSConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "factors": (16, 32, 64, 128),
        "regularization": (0.01, 0.1, 1.0, 10.0),
        "alpha": (1.0, 3.0, 10.0, 30.0),
        "decay": (0.7, 0.9, 1.0),
    }

    def __init__(self, catalog: Catalog, config: ALSConfig, items: FloatArray, exclude_seen: bool = True) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.items = items  # [I, F] float32
        self._model = _als(config, seed=0)
        self._model.item_factors = items

    @classmethod
    def learn(cls, dataset: Dataset, config: ALSConfig, fitting: Fitting) -> Self:
        """See `Baseline.fit`. Raises MissingExtraError without `implicit`."""
        model = _als(config, fitting.seed)
        with threadpool_limits(1, "blas"):  # the library works in threads of its own
            model.fit(
                training_matrix(dataset), show_progress=False, callback=_reports(fitting.on_progress, config.iterations)
            )
        return cls(dataset.catalog, config, model.item_factors, fitting.exclude_seen)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        weights = history_weights(histories, len(self.catalog), self.config.decay)
        if not len(histories):
            return torch.zeros(0, len(self.catalog))
        with threadpool_limits(1, "blas"):
            users = self._model.recalculate_user(np.arange(len(histories)), weights)  # [n, F]
        return torch.from_numpy(users) @ torch.from_numpy(self.items).T

    def tensors(self) -> dict[str, Tensor]:
        return {"items": torch.from_numpy(self.items)}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, tensors["items"].numpy(), exclude_seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class BPRConfig:
    """Settings of `bpr`."""

    factors: int = 64
    """Width of user and item vectors, > 0."""

    learning_rate: float = 0.05
    """Step size of the stochastic gradient, > 0."""

    regularization: float = 0.01
    """L2 penalty of the factors, >= 0."""

    iterations: int = 100
    """Passes over all interactions, > 0."""

    decay: float = 0.8
    """Weight of a history event relative to the next newer one, in (0, 1]; 1 gives all events the same weight."""

    def __post_init__(self) -> None:
        _check_positive(self, "factors", "learning_rate", "iterations")
        if not self.regularization >= 0:
            raise ConfigError("regularization", self.regularization, "must not be negative", "use 0 or more")
        check_decay(self.decay)


class BPR(Baseline):
    """Matrix factorisation trained on pairs: a taken item must score higher than a sampled other item.

    The library has vectors for training users only, so user vectors are folded in: the weighted mean of the item
    factors of the history, times a map [F, F]. The map is fitted by ridge regression from such means to the learned
    vectors of the training users (`fold_in_map`). All users are folded in, training users too. The item bias is added.

    Source: Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback" (arXiv:1205.2618) section 4.
    The fold-in is ours.
    """

    NAME = "bpr"
    CONFIG = BPRConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "factors": (16, 32, 64, 128),
        "learning_rate": (0.01, 0.03, 0.1),
        "regularization": (0.001, 0.01, 0.1),
        "decay": (0.5, 0.8, 1.0),
    }

    def __init__(
        self, catalog: Catalog, config: BPRConfig, items: Tensor, bias: Tensor, user_map: Tensor, exclude_seen: bool
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.items, self.bias, self.user_map = items, bias, user_map  # [I, F], [I], [F, F]

    @classmethod
    def learn(cls, dataset: Dataset, config: BPRConfig, fitting: Fitting) -> Self:
        """See `Baseline.fit`. Raises MissingExtraError without `implicit`."""
        taken = training_matrix(dataset)
        model = _bpr(config, fitting.seed)
        with threadpool_limits(1, "blas"):
            model.fit(taken, show_progress=False, callback=_reports(fitting.on_progress, config.iterations))
        # The library keeps the bias as a last column of the items, against a constant 1 of the users.
        items, bias = (
            torch.from_numpy(part.copy()) for part in (model.item_factors[:, :-1], model.item_factors[:, -1])
        )
        means = torch.from_numpy(taken @ items.numpy() / taken.sum(axis=1)).to(items)  # [U, F]
        learned = torch.from_numpy(model.user_factors[:, :-1].copy())
        return cls(dataset.catalog, config, items, bias, fold_in_map(means, learned), fitting.exclude_seen)

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        weights = history_weights(histories, len(self.catalog), self.config.decay)
        total = np.maximum(np.asarray(weights.sum(axis=1)), np.finfo(np.float32).tiny)  # empty history: bias only
        users = torch.from_numpy((weights @ self.items.numpy() / total).astype(np.float32)) @ self.user_map
        return users @ self.items.T + self.bias

    def tensors(self) -> dict[str, Tensor]:
        return {"items": self.items, "bias": self.bias, "user_map": self.user_map}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        return cls(catalog, config, tensors["items"], tensors["bias"], tensors["user_map"], exclude_seen)


def fold_in_map(means: Tensor, learned: Tensor) -> Tensor:
    """The map W [F, F] that minimises |means W - learned|^2 + ridge |W|^2, with the ridge FOLD_IN_RIDGE times the mean
    square of `means`.

    Without a ridge the solution is ill-conditioned: item means hardly vary in some directions, and scores reached the
    thousands and differed between processors.

    Args:
        means: [U, F] mean item factors of the training users' histories.
        learned: [U, F] vectors of these users after training.
    """
    means, learned = means.double(), learned.double()
    gram = means.T @ means  # [F, F]
    ridge = FOLD_IN_RIDGE * gram.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    return torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), means.T @ learned).float()


def _als(config: ALSConfig, seed: int) -> Any:
    try:
        from implicit.cpu.als import AlternatingLeastSquares
    except ImportError:
        raise MissingExtraError("implicit", "baselines", "the baseline `als`") from None
    with threadpool_limits(1, "blas"):  # otherwise the library warns, once for each model
        return AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            random_state=seed,
        )


def _bpr(config: BPRConfig, seed: int) -> Any:
    try:
        from implicit.cpu.bpr import BayesianPersonalizedRanking
    except ImportError:
        raise MissingExtraError("implicit", "baselines", "the baseline `bpr`") from None
    with threadpool_limits(1, "blas"):
        return BayesianPersonalizedRanking(
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
            iterations=config.iterations,
            random_state=seed,
            num_threads=1,  # several threads would update in an order that no seed fixes
        )


def _reports(on_progress: Callable[[float], None] | None, iterations: int) -> Callable[..., None] | None:
    """A callback for the library, which calls it after each iteration with the iteration's number first."""
    if on_progress is None:
        return None
    return lambda iteration, *_: on_progress((iteration + 1) / iterations)


def _check_positive(config: Any, *fields: str) -> None:
    for field in fields:
        if not getattr(config, field) > 0:
            raise ConfigError(field, getattr(config, field), "must be positive", "use more than 0")
