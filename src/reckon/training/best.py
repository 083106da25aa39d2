"""The best of a run's validations: which it was, whether patience is spent, and what was kept of it.

Entry points: `Best` for a training that keeps checkpoints, `BestWeights` for one that keeps a copy in memory. The start
is validated like every other state. Where nothing beats it, it is what is kept, and the training has brought nothing.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(slots=True, kw_only=True)
class Best:
    """The best value of one validation metric so far."""

    metric: str
    """As it is logged, without `eval_`: `ndcg@10`, `mae`, `loss`."""
    patience: int
    """Steps without a better value after which training should stop."""
    greater_is_better: bool = True
    value: float | None = None
    step: int = 0
    """When it was found; 0 is the start."""

    def see(self, value: float, step: int) -> bool:
        """Take note of a validation; True where it is better than all before. An equal one is not, nor is NaN."""
        if self.value is None:
            better = value == value
        else:
            better = value > self.value if self.greater_is_better else value < self.value
        if better:
            self.value, self.step = value, step
        return better

    def is_spent(self, step: int) -> bool:
        """Whether `patience` steps have brought nothing better."""
        return step - self.step >= self.patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Which of a run's validated states was kept, and how good the start was."""

    metric: str
    step: int
    value: float
    start: float

    @classmethod
    def of_log(cls, log: Sequence[Mapping[str, Any]], metric: str, *, greater_is_better: bool = True) -> "Kept":
        """Found again in a run's log, whose first validation is that of the start."""
        name = f"eval_{metric}"
        found = [(entry[name], int(entry["step"])) for entry in log if name in entry]
        best = Best(metric=metric, patience=1, greater_is_better=greater_is_better)
        for value, step in found:
            best.see(value, step)
        assert best.value is not None
        return cls(metric=metric, step=best.step, value=best.value, start=found[0][0])

    @property
    def words(self) -> str:
        """One sentence for the person who started the training."""
        name = f"validation {self.metric.upper()}"
        if self.step == 0:
            return f"Training brought nothing: no {name} was better than the start's ({self.start:.4f}), which is kept."
        return f"Kept the state after {self.step:,} updates: {name} {self.value:.4f}, at the start {self.start:.4f}."


class BestWeights:
    """Keeps a copy of a module's weights as they were at its best validation."""

    def __init__(self, module: nn.Module, best: Best, names: Sequence[str] | None = None) -> None:
        """`names` are the weights to keep; None keeps them all."""
        self.module, self.best, self._names = module, best, names
        self._state: dict[str, Tensor] | None = None

    def see(self, value: float, step: int) -> None:
        """Take note of a validation of the module as it is now."""
        if self.best.see(value, step):
            state = self.module.state_dict()
            self._state = copy.deepcopy({name: state[name] for name in self._names or state})

    def is_spent(self, step: int) -> bool:
        """As `Best.is_spent`."""
        return self.best.is_spent(step)

    def restore(self) -> None:
        """Put the best weights back."""
        if self._state is not None:
            self.module.load_state_dict(self._state, strict=self._names is None)
