"""Settings of the policy objective that all methods share.

Entry point: `GRPOSettings`. A method adds its own settings in a subclass.
"""

from dataclasses import dataclass, fields
from typing import ClassVar

from reckon.errors import ConfigError
from reckon.rl.advantages import Estimator
from reckon.rl.objective import LossType


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOSettings:
    """The policy objective. Section `grpo`; names as in TRL's GRPOConfig."""

    SECTION: ClassVar[str] = "grpo"
    """Name of the section in errors."""

    num_generations: int = 8
    """Trajectories per prompt (G), at least 2: an advantage compares within a group."""

    advantage: Estimator = "grpo"
    """`grpo` divides by the group's standard deviation, `rloo` keeps reward units."""

    loss_type: LossType = "grpo"
    """Weighting of tokens: `grpo` gives every trajectory the same weight, the other types every token."""

    epsilon: float = 0.2
    """Lower clip bound of the ratio, 1 - epsilon; >= 0."""

    epsilon_high: float = 0.2
    """Upper clip bound of the ratio, 1 + epsilon_high; >= 0."""

    updates_per_rollout: int = 1
    """Optimiser steps on the same replies, at least 1 (TRL's `num_iterations`). Above 1 the ratio leaves 1 and the clip
    acts. Steps of the log, of `max_steps` and of the warm-up count rollouts."""

    beta: float = 0.0
    """Weight of the KL term against the starting policy, >= 0; 0 as in the paper."""

    def __post_init__(self) -> None:
        if self.num_generations < 2:
            usual = next(field.default for field in fields(self) if field.name == "num_generations")
            raise ConfigError(
                f"{self.SECTION}.num_generations",
                self.num_generations,
                "advantages need at least two trajectories per prompt",
                f"set it to 2 or more (default {usual})",
            )
        if self.updates_per_rollout < 1:
            rule = "replies need at least one update"
            fix = "set it to 1 or more (default 1)"
            raise ConfigError(f"{self.SECTION}.updates_per_rollout", self.updates_per_rollout, rule, fix)
        for name in ("beta", "epsilon", "epsilon_high"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{self.SECTION}.{name}", getattr(self, name), "must not be negative", "use the default"
                )
