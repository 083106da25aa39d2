"""Settings of RPORec and its presets.

Entry points: `RPORecConfig` and `preset`. The paper (arXiv 2605.21967) gives no values for the reward weights, gamma,
delta and the number of negatives; where it is silent, `paper` takes those of the authors' public code, so today `paper`
and `as_released` are the same. `small` suits a small backbone trained from scratch on two CPU cores.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from reckon.data.repeats import ExcludeSeen
from reckon.errors import ConfigError
from reckon.methods.method import PresetName
from reckon.methods.rporec.rechead_training import StageOneConfig
from reckon.models.backbone import LoraSettings
from reckon.models.rechead import RecheadShape
from reckon.models.sentence_encoder import STATIC
from reckon.prompts.style import PromptConfig
from reckon.rl.grpo import GRPOSettings
from reckon.rl.rewards.rporec import RewardSettings
from reckon.rollout.sampling import SamplingConfig
from reckon.training.config import TrainingConfig, check_precision

Arm = Literal["full", "history-only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecheadConfig(RecheadShape):
    """The Rechead, its sentence encoder and its scores. Section `rechead`."""

    encoder: str = STATIC
    """`static` (word vectors from the catalog's text), or a hub id or folder of sentence-transformers (extra
    `encoders`)."""

    width: int = 256
    """Width of the static encoder, a multiple of 8; a sentence-transformers model has its own."""

    half_life: float = 20.0
    """Static encoder: distance in words from the end of a text at which a word's weight halves, > 0."""

    tau: float = 1.0
    """Temperature of the scores, > 0: s(u, v) = <h_u, h_v> / tau; 1 as in the paper."""

    popularity_prior: float = 0.0
    """Weight of the log training frequency in every score, >= 0; 0 is off, as in the paper."""

    exclude_seen: ExcludeSeen = "auto"
    """Whether items of the history are excluded. `auto` excludes them unless more than 1 % of the training rows have a
    target from their own history; the run records the decision."""

    @property
    def excludes_seen(self) -> bool:
        """Whether items of the history are excluded; an `auto` that no data set has settled excludes them."""
        return self.exclude_seen is not False

    def __post_init__(self) -> None:
        RecheadShape.__post_init__(self)
        if self.tau <= 0:
            raise ConfigError("rechead.tau", self.tau, "must be positive", "use 1 as in the paper")
        if self.popularity_prior < 0:
            raise ConfigError("rechead.popularity_prior", self.popularity_prior, "must not be negative", "use 0 or 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RPOSettings(GRPOSettings):
    """The policy objective of Stage II. Section `grpo`; names as in TRL's GRPOConfig."""

    top_entropy: float = 0.2
    """Share of the batch's reply tokens that get a gradient, those of highest entropy (rho), in (0, 1]."""

    def __post_init__(self) -> None:
        GRPOSettings.__post_init__(self)
        if not 0 < self.top_entropy <= 1:
            raise ConfigError("grpo.top_entropy", self.top_entropy, "must lie in (0, 1]", "use 0.2, or 1 for all")


@dataclass(frozen=True, slots=True, kw_only=True)
class RPORecConfig:
    """All settings of an RPORec run besides data and backbone."""

    arm: Arm = "full"
    """`full`, or `history-only`: the Rechead reads only the history, and the language model is not used."""

    seed: int = 0
    """Seed of all random draws."""

    prompt: PromptConfig = field(default_factory=PromptConfig)
    rechead: RecheadConfig = field(default_factory=RecheadConfig)
    stage_one: StageOneConfig = field(default_factory=StageOneConfig)
    rollout: SamplingConfig = field(default_factory=lambda: SamplingConfig(max_completion_length=1024))
    rewards: RewardSettings = field(default_factory=RewardSettings)
    grpo: RPOSettings = field(default_factory=lambda: RPOSettings(num_generations=4, beta=0.001))
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(learning_rate=1e-6))

    def __post_init__(self) -> None:
        check_precision(self.training, self.lora)
        if self.rollout.temperature == 0:
            raise ConfigError("rollout.temperature", 0, "greedy replies of a group are all equal", "use 1.0 or more")

    @property
    def reasons(self) -> bool:
        """Whether the language model writes replies for the Rechead."""
        return self.arm != "history-only"


def preset(name: PresetName, arm: Arm = "full") -> RPORecConfig:
    """A preset of settings by name.

    Source: RPORec (arXiv 2605.21967) and, where it gives no value, the authors' public code.
    """
    if name in ("paper", "as_released"):
        return RPORecConfig(arm=arm)
    if name == "small":
        return RPORecConfig(
            arm=arm,
            prompt=PromptConfig(style="compact", window=10, title_words=16, item_words=0),
            rechead=RecheadConfig(tau=0.07, popularity_prior=1.0),
            stage_one=StageOneConfig(learning_rate=3e-4, negatives=0),
            rollout=SamplingConfig(max_completion_length=64),
            rewards=replace(RewardSettings(), summary_tokens=48),
            grpo=RPOSettings(num_generations=8, beta=0.001),
            training=TrainingConfig(
                learning_rate=3e-4,
                warmup_steps=10,
                batch_size=16,
                micro_batch_size=16,
                num_epochs=30,
                eval_steps=20,
                validation_size=500,
                patience_steps=80,
            ),
        )
    raise ConfigError("preset", name, "is unknown", "use paper, as_released or small")
