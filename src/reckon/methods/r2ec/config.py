"""Settings of R2ec and its presets.

Entry points: `R2ecConfig` and `preset`. `paper` is what arXiv 2505.16994 states, `as_released` has the values of the
authors' public code where they differ, `small` suits a small backbone trained from scratch on two CPU cores, `quick`
the same for a first result in minutes, `laptop` an open instruct model of about 135 M parameters, in minutes too.
"""

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from reckon.data.repeats import ExcludeSeen
from reckon.errors import ConfigError
from reckon.methods.method import PresetName
from reckon.models.backbone import LoraSettings
from reckon.prompts.style import PromptConfig
from reckon.rl.grpo import GRPOSettings
from reckon.rollout.sampling import SamplingConfig
from reckon.training.config import TrainingConfig, check_precision

Arm = Literal["full", "no-reasoning", "supervised", "no-ranking-reward", "no-similarity-reward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadConfig:
    """Scores of items from hidden states. Section `head`."""

    tau: float = 0.02
    """Temperature of the scores, > 0: s(u, v) = cosine / tau."""

    popularity_prior: float = 0.0
    """Weight of the log training frequency in every score, >= 0; 0 is off, as in the paper. Training with sampled
    negatives subtracts the sampling correction, so that it does not cancel the prior."""

    negatives: Literal["in-batch", "catalog"] = "in-batch"
    """Items in the denominator of the item loss, all encoded with gradient: the batch's targets (`in-batch`), or all
    items (`catalog`, if memory allows)."""

    sampled_negatives: int = 0
    """Uniformly drawn items in addition to the in-batch items, >= 0, with the sampling correction."""

    exclude_seen: ExcludeSeen = "auto"
    """Whether items of the history are excluded, as in the paper. `auto` excludes them unless more than 1 % of the
    training rows have a target from their own history; the run records the decision."""

    @property
    def excludes_seen(self) -> bool:
        """Whether items of the history are excluded; an `auto` that no data set has settled excludes them."""
        return self.exclude_seen is not False

    def __post_init__(self) -> None:
        if self.tau <= 0:
            raise ConfigError("head.tau", self.tau, "must be positive", "use 0.02 as in the paper")
        if self.popularity_prior < 0:
            raise ConfigError("head.popularity_prior", self.popularity_prior, "must not be negative", "use 0 or 1")
        if self.sampled_negatives < 0:
            raise ConfigError("head.sampled_negatives", self.sampled_negatives, "must not be negative", "use 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecPOConfig(GRPOSettings):
    """The policy objective, with the fused reward and the item term. Section `recpo`."""

    SECTION: ClassVar[str] = "recpo"

    num_generations: int = 4
    """Trajectories per prompt (G), at least 2: an advantage compares within a group."""

    beta: float = 0.0
    """Weight of the KL term against the starting policy, >= 0; 0 as in the paper. The term keeps replies readable while
    the item term changes token vectors that the language head shares."""

    reward_beta: float = 0.05
    """Share of the similarity reward in the fused reward, in [0, 1]."""

    reward_cutoff: int = 1000
    """K of the ranking reward NDCG@K, > 0."""

    item_trajectories: int = 1
    """Number of best trajectories per group with an item term, 1 .. num_generations."""

    item_weight: float = 1.0
    """Weight of the item term relative to the token term, >= 0."""

    def __post_init__(self) -> None:
        GRPOSettings.__post_init__(self)
        if not 1 <= self.item_trajectories <= self.num_generations:
            raise ConfigError(
                "recpo.item_trajectories",
                self.item_trajectories,
                f"must lie in 1 .. num_generations ({self.num_generations})",
                "use 1 as in the paper",
            )
        if self.item_weight < 0:
            raise ConfigError("recpo.item_weight", self.item_weight, "must not be negative", "use the default")
        if self.reward_cutoff < 1:
            raise ConfigError("recpo.reward_cutoff", self.reward_cutoff, "must be at least 1", "use 1000 as the paper")
        if not 0 <= self.reward_beta <= 1:
            raise ConfigError("recpo.reward_beta", self.reward_beta, "must lie in [0, 1]", "use 0.05 as in the paper")


@dataclass(frozen=True, slots=True, kw_only=True)
class R2ecTrainingConfig(TrainingConfig):
    """Optimisation, and refreshes of the item table. Section `training`."""

    item_refresh_steps: int = 0
    """Updates between re-encodings of the whole item table, >= 0; with 0, only validations and `item_drift` cause them.
    The rows of a batch's items are re-encoded after every update."""

    item_drift: float = 0.5
    """Staleness above which the whole item table is re-encoded, > 0; inf: never (the paper does not mention it).
    Staleness is the mean distance between rows of the last whole encoding and the same rows encoded anew, divided by
    `head.tau`: an upper bound of the mean error of a score. It is measured on the batch's rows and logged as
    `items/drift`."""

    def __post_init__(self) -> None:
        TrainingConfig.__post_init__(self)  # super() does not work in a dataclass with slots
        if self.item_refresh_steps < 0:
            rule = "must not be negative"
            raise ConfigError("training.item_refresh_steps", self.item_refresh_steps, rule, "use 0")
        if not self.item_drift > 0:
            raise ConfigError("training.item_drift", self.item_drift, "must be positive", "use 0.5, or .inf for never")


@dataclass(frozen=True, slots=True, kw_only=True)
class R2ecConfig:
    """All settings of an R2ec run besides data and backbone."""

    arm: Arm = "full"
    """`full`, or an ablation: `no-reasoning` (the marker follows the prompt), `supervised` (greedy reasoning and the
    item loss only, without reward and policy gradient), `no-ranking-reward`, `no-similarity-reward`."""

    seed: int = 0
    """Seed of all random draws."""

    prompt: PromptConfig = field(default_factory=PromptConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    rollout: SamplingConfig = field(default_factory=lambda: SamplingConfig(temperature=1.5, top_k=200))
    recpo: RecPOConfig = field(default_factory=RecPOConfig)
    lora: LoraSettings = field(default_factory=lambda: LoraSettings(r=4))
    training: R2ecTrainingConfig = field(default_factory=R2ecTrainingConfig)

    def __post_init__(self) -> None:
        check_precision(self.training, self.lora)
        if self.reasons and self.rollout.temperature == 0:
            raise ConfigError("rollout.temperature", 0, "greedy replies of a group are all equal", "use 1.0 or more")

    @property
    def reasons(self) -> bool:
        """Whether replies hold reasoning."""
        return self.arm != "no-reasoning"

    @property
    def reinforces(self) -> bool:
        """Whether the reasoning is trained with rewards."""
        return self.reasons and self.arm != "supervised"

    @property
    def reward_share(self) -> float:
        """beta of the fused reward; the reward ablations set it to 0 or 1."""
        return {"no-ranking-reward": 1.0, "no-similarity-reward": 0.0}.get(self.arm, self.recpo.reward_beta)


def preset(name: PresetName, arm: Arm = "full") -> R2ecConfig:
    """A preset of settings by name.

    Source: R2ec (arXiv 2505.16994) appendix; `as_released`: the authors' public code.
    """
    paper = R2ecConfig(arm=arm)
    if name == "paper":
        return paper
    if name == "as_released":
        return replace(
            paper,
            rollout=SamplingConfig(temperature=2.0, top_k=50, max_completion_length=640),
            recpo=RecPOConfig(epsilon_high=0.28, item_trajectories=2),
            lora=LoraSettings(r=4, alpha=128),
        )
    if name in ("small", "quick"):
        small = replace(
            paper,
            prompt=PromptConfig(style="compact", window=10, title_words=16, item_words=0),
            head=HeadConfig(tau=0.07, popularity_prior=1.0, sampled_negatives=256),
            rollout=SamplingConfig(temperature=1.0, max_completion_length=16),
            recpo=RecPOConfig(num_generations=8),
            lora=LoraSettings(r=0),
            training=R2ecTrainingConfig(
                learning_rate=3e-4,
                embedding_lr_scale=10.0,
                warmup_steps=10,
                batch_size=16,
                micro_batch_size=16,
                num_epochs=30,
                eval_steps=25,
                validation_size=500,
                patience_steps=100,
            ),
        )
        if name == "quick":
            small = _quick(small)
        if small.reasons:
            return small
        return replace(small, training=replace(small.training, batch_size=128, micro_batch_size=32, eval_steps=10))
    if name == "laptop":
        return _laptop(paper)
    raise ConfigError("preset", name, "is unknown", "use paper, as_released, small, quick or laptop")


def _quick(small: R2ecConfig) -> R2ecConfig:
    """The `small` preset for 60 updates on a catalog that fits whole into the item loss: many prompts with few replies
    each, and one learning rate for all weights."""
    return replace(
        small,
        head=replace(small.head, negatives="catalog"),
        recpo=replace(small.recpo, num_generations=4),
        training=replace(
            small.training,
            embedding_lr_scale=1.0,
            batch_size=32,
            micro_batch_size=32,
            max_steps=60,
            eval_steps=20,
            patience_steps=60,
        ),
    )


def _laptop(paper: R2ecConfig) -> R2ecConfig:
    """The preset for an open instruct model of about 135 M parameters on two cores."""
    laptop = replace(
        paper,
        # A token is what costs time, so prompts and replies are short.
        prompt=PromptConfig(
            style="brief",
            window=5,
            title_words=4,
            title_tokens=12,
            item_words=8,
            item_tokens=32,
            max_tokens=192,
        ),
        head=HeadConfig(tau=0.07, popularity_prior=1.0, sampled_negatives=16),
        # The paper's 1.5 and 200 are for 2 to 3 B parameters. Measured with benchmarks/prompts.py: docs/models.md.
        rollout=SamplingConfig(temperature=0.6, top_k=50, max_completion_length=48),
        lora=LoraSettings(r=8, alpha=32),
        training=R2ecTrainingConfig(
            learning_rate=3e-4,
            warmup_steps=2,
            batch_size=4,
            micro_batch_size=4,
            max_steps=12,
            eval_steps=6,
            validation_size=32,
            patience_steps=12,
            item_drift=math.inf,  # whole encodings of the catalog would take longer than the updates between them
        ),
    )
    if laptop.reasons:
        return laptop
    return replace(laptop, training=replace(laptop.training, batch_size=16, micro_batch_size=8))
