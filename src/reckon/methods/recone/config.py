"""Settings of RecOne and its presets: the settings of RecZero, and of the fine-tuning on traces.

Entry points: `RecOneConfig` and `preset`.
"""

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from reckon.errors import ConfigError
from reckon.methods.method import PresetName
from reckon.methods.reczero.config import Arm, RecZeroConfig
from reckon.methods.reczero.config import preset as reczero_preset
from reckon.models.backbone import LoraSettings
from reckon.models.precision import Precision
from reckon.training.config import OptimizerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTSettings(OptimizerConfig):
    """Supervised fine-tuning on traces. Section `sft`."""

    SECTION: ClassVar[str] = "sft"

    learning_rate: float = 1e-5
    """Peak learning rate of AdamW, > 0; linear warm-up, then linear decay."""

    warmup_steps: int = 0
    """Steps of linear warm-up, >= 0."""

    batch_size: int = 8
    """Traces per update, a multiple of micro_batch_size. The loss is the mean over their reply tokens."""

    micro_batch_size: int = 8
    """Traces per forward pass, >= 1; changes memory, not results."""

    num_epochs: float = 3.0
    """Passes over the traces, > 0, unless max_steps is set."""

    max_prompt_tokens: int | None = None
    """Most tokens of a trace's prompt; a longer trace is left out and counted. null: only the model's context is a
    limit."""

    max_reply_tokens: int | None = None
    """Most tokens of a trace's reply, end token included; a longer trace is left out and counted. null: only the
    model's context is a limit."""

    dtype: Precision = "float32"
    """Dtype of the weights. Merged into bfloat16 weights, adapters lose small updates."""

    save_steps: int = 0
    """Updates between checkpoints, >= 0; 0 saves one only on Ctrl-C."""

    lora: LoraSettings = field(default_factory=LoraSettings)
    """Adapters to train in place of all weights; they are merged into the written model."""

    def __post_init__(self) -> None:
        OptimizerConfig.__post_init__(self)
        self.check_least(0, "save_steps")
        if self.batch_size % self.micro_batch_size:
            rule = f"must be a multiple of {self.micro_batch_size}"
            raise ConfigError("sft.batch_size", self.batch_size, rule, "make them equal")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecOneConfig(RecZeroConfig):
    """All settings of a RecOne run besides data, backbone and traces: the settings of RecZero, and `sft`."""

    sft: SFTSettings = field(default_factory=SFTSettings)

    @property
    def reinforcement(self) -> RecZeroConfig:
        """Settings of the second stage."""
        return RecZeroConfig(**_reczero_fields(self))


def preset(name: PresetName, arm: Arm = "full") -> RecOneConfig:
    """RecZero's preset of that name, with fine-tuning settings for models of that size."""
    sizes = {
        "small": SFTSettings(learning_rate=1e-3, warmup_steps=10, num_epochs=10, batch_size=32, micro_batch_size=32)
    }
    return RecOneConfig(**_reczero_fields(reczero_preset(name, arm)), sft=sizes.get(name, SFTSettings()))


def _reczero_fields(config: RecZeroConfig) -> dict[str, Any]:
    return {part.name: getattr(config, part.name) for part in fields(RecZeroConfig)}
