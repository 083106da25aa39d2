"""The base class of sequential baselines: fitting, scores and storage around a network.

Entry point: `SequenceBaseline`, the base of `sasrec`, `bert4rec`, `gru4rec` and `caser`, which name their network.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting, validation_rows
from reckon.baselines.classical.interactions import training_sequences
from reckon.baselines.sequential.sequences import SequenceConfig, SequenceNetwork, train
from reckon.data import Catalog, Dataset
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError
from reckon.metrics.ranking import rank_values

READ_AT_ONCE = 512  # histories per batch; bounds the memory of hidden states
STOPPING_METRIC = "ndcg@10"  # decides when training stops


class SequenceBaseline(Baseline):
    """Scores items by a network that reads the history in order."""

    CONFIG: ClassVar[type[SequenceConfig]] = SequenceConfig
    NETWORK: ClassVar[type[SequenceNetwork]]
    """Class of the network, made from the number of items I and a config."""
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "width": (32, 64, 128),
        "dropout": (0.1, 0.2, 0.3, 0.5),
        "learning_rate": (3e-4, 1e-3, 3e-3),
    }

    def __init__(
        self, catalog: Catalog, config: SequenceConfig, network: SequenceNetwork, exclude_seen: bool = True
    ) -> None:
        super().__init__(catalog, config, exclude_seen)
        self.network = network

    @classmethod
    def learn(cls, dataset: Dataset, config: SequenceConfig, fitting: Fitting) -> Self:
        fitted = cls.untrained(dataset.catalog, config, fitting.exclude_seen, fitting.seed)
        valid = validation_rows(dataset, config.validation_rows, fitting.seed)

        def ndcg() -> float:
            return float(rank_values(fitted.ranks(valid, 1).ranks, STOPPING_METRIC, len(dataset.catalog)).mean())

        train(
            fitted.network,
            training_sequences(dataset),
            ndcg,
            config,
            seed=fitting.seed,
            on_progress=fitting.on_progress,
        )
        return fitted

    @classmethod
    def untrained(cls, catalog: Catalog, config: SequenceConfig, exclude_seen: bool = True, seed: int = 0) -> Self:
        """A baseline with initial weights, on the accelerator where there is one."""
        torch.manual_seed(seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(catalog, config, cls.NETWORK(len(catalog), config).to(device), exclude_seen)

    @torch.no_grad()
    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        self.network.eval()
        parts = [torch.empty(0, len(self.catalog))]
        for start in range(0, len(histories), READ_AT_ONCE):
            states = self.network.user_states(histories[start : start + READ_AT_ONCE])
            parts.append(self.network.item_scores(states).cpu())
        return torch.cat(parts)

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.network.state_dict())

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        loaded = cls.untrained(catalog, config, exclude_seen)
        try:
            loaded.network.load_state_dict(tensors)
        except RuntimeError as error:
            raise CheckpointError(
                cls.NAME, f"has weights of another shape ({error})", "fit and save it again"
            ) from None
        return loaded
