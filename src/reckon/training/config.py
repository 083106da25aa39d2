"""How every method is optimised: the section `training`, and what it shares with fine-tuning.

Entry points: `OptimizerConfig`, `TrainingConfig`, `check_precision`. Knows nothing about rewards or about what a method
predicts.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from reckon.errors import ConfigError
from reckon.models.backbone import LoraSettings
from reckon.models.precision import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """Optimisation of a backbone's weights, by reinforcement or by fine-tuning."""

    SECTION: ClassVar[str] = "training"
    """Name of the section in errors."""

    learning_rate: float = 1e-5
    """Peak learning rate of AdamW, > 0; constant after the warm-up."""

    warmup_steps: int = 32
    """Updates of linear warm-up, >= 0; the first of them moves the weights already."""

    embedding_lr_scale: float = 1.0
    """The token embedding learns at learning_rate times this, > 0. A lexical start gains from 10: word vectors must
    move far while the layers that pool them must not."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, >= 0."""

    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm, > 0."""

    batch_size: int = 24
    """Prompts per update (B); with reasoning each has num_generations trajectories."""

    micro_batch_size: int = 2
    """Prompts per forward pass. Changes memory and nothing else."""

    num_epochs: float = 3.0
    """Passes over the training rows, > 0, unless max_steps is set."""

    max_steps: int = -1
    """Updates; -1 lets num_epochs decide."""

    dtype: Precision = "auto"
    """Dtype of the weights, in training and afterwards. `auto`: `bfloat16` under adapters (`lora.r` > 0, which stay
    float32) on a GPU that computes in it or a CPU with AMX, else `float32`."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    def __post_init__(self) -> None:
        self.check_least(1, "batch_size", "micro_batch_size")
        for name in ("learning_rate", "embedding_lr_scale", "max_grad_norm", "num_epochs"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"{self.SECTION}.{name}", getattr(self, name), "must be positive", "use the default")
        for name in ("weight_decay", "warmup_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                rule = "must not be negative"
                raise ConfigError(f"{self.SECTION}.{name}", getattr(self, name), rule, "use the default")
        if self.max_steps < 1 and self.max_steps != -1:
            fix = "or -1 to use num_epochs"
            raise ConfigError(f"{self.SECTION}.max_steps", self.max_steps, "must be at least 1", fix)

    def check_least(self, least: int, *names: str) -> None:
        """Refuse fields that are smaller than `least`."""
        for name in names:
            if getattr(self, name) < least:
                rule = f"must be at least {least}"
                raise ConfigError(f"{self.SECTION}.{name}", getattr(self, name), rule, "use the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig(OptimizerConfig):
    """Optimisation, validation and early stopping. Section `training`."""

    eval_steps: int = 50
    """Updates between validations; a checkpoint is saved at each."""

    validation_size: int = 500
    """Validation rows in the fixed sample that early stopping looks at."""

    patience_steps: int = 150
    """Updates without a better validation result after which training stops, at least eval_steps. Arms that validate
    more or less often get the same time. The best validated weights are kept; where no validation beats that of the
    start, the start is kept, and the run says that training brought nothing."""

    report_to: str = "none"
    """Tracker that also gets every logged number, by transformers' names: `tensorboard`, `wandb`, `mlflow`, `none`."""

    def __post_init__(self) -> None:
        OptimizerConfig.__post_init__(self)
        self.check_least(1, "eval_steps", "patience_steps", "validation_size")
        if self.patience_steps < self.eval_steps:
            rule = f"counts updates, and the first validation comes after eval_steps ({self.eval_steps})"
            fix = f"use a few validations' worth, e.g. {4 * self.eval_steps}, or lower training.eval_steps"
            raise ConfigError("training.patience_steps", self.patience_steps, rule, fix)


def check_precision(training: "TrainingConfig", lora: LoraSettings) -> None:
    """Refuse bfloat16 weights that are trained themselves: a step of 1e-5 of a weight is below their resolution."""
    if training.dtype == "bfloat16" and lora.r == 0:
        raise ConfigError(
            "training.dtype", "bfloat16", "weights in it lose small updates", "use float32, or adapters with lora.r > 0"
        )
