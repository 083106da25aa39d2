"""Settings of the policy objective that every method has.

Entry point: `GRPOSettings`. A method adds what is its own in a subclass.
"""

from dataclasses import dataclass

from reckon.errors import ConfigError
from reckon.rl.advantages import Estimator
from reckon.rl.objective import LossType


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOSettings:
    """The policy objective. Section `grpo`; names as in TRL's GRPOConfig."""

    num_generations: int = 8
    """Trajectories per prompt (G), at least 2: an advantage compares within a group."""

    advantage: Estimator = "grpo"
    """`grpo` divides by the group's standard deviation, `rloo` keeps reward units."""

    loss_type: LossType = "grpo"
    """What each token counts: `grpo` gives each trajectory the same weight, the others each token."""

    epsilon: float = 0.2
    """The clip range is 1 - epsilon .. 1 + epsilon_high."""

    epsilon_high: float = 0.2
    """See `epsilon`."""

    beta: float = 0.0
    """Weight of the KL term against the policy that training began with, >= 0; 0 as in the paper."""

    def __post_init__(self) -> None:
        if self.num_generations < 2:
            raise ConfigError(
                "grpo.num_generations",
                self.num_generations,
                "advantages need at least two trajectories per prompt",
                "set it to 2 or more (default 8)",
            )
        for name in ("beta", "epsilon", "epsilon_high"):
            if getattr(self, name) < 0:
                raise ConfigError(f"grpo.{name}", getattr(self, name), "must not be negative", "use the default")
