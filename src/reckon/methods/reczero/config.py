"""Settings of RecZero and its presets.

Entry points: `RecZeroConfig` and `preset`. `paper` is what arXiv 2510.23077 states, `as_released` has the values of the
authors' public code where they differ, `small` suits a small backbone trained from scratch on two CPU cores. The second
stage of RecOne has the same settings.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from reckon.errors import ConfigError
from reckon.methods.method import PresetName
from reckon.models.backbone import LoraSettings
from reckon.prompts.style import Style
from reckon.rl.grpo import GRPOSettings
from reckon.rollout.sampling import SamplingConfig
from reckon.training.config import TrainingConfig, check_precision

Arm = Literal["full", "exact-answer", "no-format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatingPromptConfig:
    """Settings of rating prompts. Section `prompt`."""

    style: Style = "instruct"
    """`instruct` for instruction-tuned models, `brief` for those of some 100 M parameters, which read an answered
    example first, `compact` for small backbones made by `reckon backbone new`."""

    window: int = 10
    """Most earlier ratings of the user in the prompt, the latest ones, >= 0."""

    item_window: int = 10
    """Most earlier ratings of the item by others in the prompt, the latest ones, >= 0."""

    title_words: int = 32
    """Words kept of each title in the history, > 0. In scripts without blanks two characters are a word. Only tokens
    limit the item's own title."""

    title_tokens: int = 128
    """Tokens kept of each title, > 0."""

    review_words: int = 64
    """Words kept of each review, >= 0; 0 shows only the ratings."""

    item_review_words: int | None = None
    """Words kept of each review by others, >= 0; null is `review_words`."""

    item_words: int = 64
    """Words kept of the item's other columns after its title, >= 0."""

    item_tokens: int = 512
    """Most tokens of the item's text with its title, > 0; a longer text loses its end."""

    max_tokens: int = 2048
    """Most tokens of the prompt, > 0; fewer where the model's positions leave fewer beside a reply. A longer prompt
    loses words of reviews, then the oldest ratings, then the end of the item's text. Cuts are counted."""

    def __post_init__(self) -> None:
        least = {
            **{name: 0 for name in ("window", "item_window", "review_words", "item_review_words", "item_words")},
            **{name: 1 for name in ("title_words", "title_tokens", "item_tokens", "max_tokens")},
        }
        for name, bound in least.items():
            if getattr(self, name) is not None and getattr(self, name) < bound:
                raise ConfigError(f"prompt.{name}", getattr(self, name), f"must be at least {bound}", "use the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecZeroConfig:
    """All settings of a RecZero run besides data and backbone."""

    arm: Arm = "full"
    """`full`, or an ablation: `exact-answer` (only the exact rating earns the answer reward), `no-format` (no format
    reward)."""

    seed: int = 0
    """Seed of all random draws."""

    prompt: RatingPromptConfig = field(default_factory=RatingPromptConfig)
    rollout: SamplingConfig = field(default_factory=SamplingConfig)
    grpo: GRPOSettings = field(default_factory=GRPOSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(learning_rate=2e-6, batch_size=8, num_epochs=1.0)
    )

    def __post_init__(self) -> None:
        check_precision(self.training, self.lora)
        if self.rollout.temperature == 0:
            raise ConfigError("rollout.temperature", 0, "greedy replies of a group are all equal", "use 1.0")


def preset(name: PresetName, arm: Arm = "full") -> RecZeroConfig:
    """A preset of settings by name.

    Source: RecZero (arXiv 2510.23077) section 4.1; `as_released`: the authors' public code adds a KL term of 0.001.
    """
    paper = RecZeroConfig(arm=arm)
    if name == "paper":
        return paper
    if name == "as_released":
        return replace(paper, grpo=replace(paper.grpo, beta=0.001))
    if name == "small":
        return replace(
            paper,
            prompt=RatingPromptConfig(
                style="compact",
                window=6,
                item_window=6,
                title_words=8,
                review_words=6,
                item_review_words=1,
                item_words=0,
                max_tokens=256,
            ),
            rollout=SamplingConfig(max_completion_length=48),
            training=TrainingConfig(
                learning_rate=3e-4,
                warmup_steps=10,
                batch_size=32,
                micro_batch_size=32,
                num_epochs=30,
                eval_steps=20,
                validation_size=500,
                patience_steps=100,
            ),
        )
    raise ConfigError("preset", name, "is unknown", "use paper, as_released or small")
