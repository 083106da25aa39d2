"""The policy trainer: sample, reward, compare within groups, update, report. A subclass of transformers.Trainer.

Entry point: `PolicyTrainer`. A method's subclass defines `prompt_ids` (an example to tokens), `score` (rollouts to
rewards) and, optionally, `extra_loss` (a term added to the token objective). All random draws of a step follow from
(seed, global step), so a resumed run repeats them.
"""

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from reckon.errors import ReckonError
from reckon.models.backbone import Backbone
from reckon.models.token_batch import gather_rows
from reckon.rl.advantages import group_advantages
from reckon.rl.grpo import GRPOSettings
from reckon.rl.objective import clip_share, token_kl, token_losses, token_weights, top_entropy_tokens
from reckon.rl.reference import ReferencePolicy
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine, token_logprobs
from reckon.training.checkpoints import CheckpointedTrainer


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings of the token objective."""

    sampling: SamplingConfig
    grpo: GRPOSettings
    """Group size, advantages, clipping, KL term."""
    micro_batch_size: int
    """Prompts per forward pass."""
    top_entropy: float = 1.0
    """Share of the batch's tokens that get a gradient, those of highest entropy, in (0, 1]."""


Row = Any  # one training row: an `Example` or a `RatingExample`; only the method reads its fields


class Rows(Protocol):
    """Training rows by row number."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Row: ...


class ExampleRows(torch.utils.data.Dataset[Row]):
    """Training rows as a map-style torch dataset."""

    def __init__(self, examples: Rows) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, row: int) -> Row:
        return self.examples[row]


def collate(examples: list[Row]) -> dict[str, Any]:
    """Keep a batch as a list of examples; the step tokenises the prompts."""
    return {"examples": examples}


class StepTrainer(CheckpointedTrainer):
    """A Trainer whose training step runs forward and backward passes itself and reports named metrics."""

    widest = 0
    """Padded tokens of the largest forward pass with gradient so far."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(data_collator=collate, **kwargs)
        self._reports: dict[str, list[float]] = defaultdict(list)

    def report(self, **metrics: float | Tensor) -> None:
        """Add metrics of the current step; the log holds their means over the steps since the last log line."""
        for name, value in metrics.items():
            self._reports[name.replace("__", "/")].append(float(value))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs |= {name: sum(values) / len(values) for name, values in self._reports.items()}
            self._reports.clear()
        super().log(logs, start_time)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0  # the estimate needs input_ids, which only the step knows

    def step_generator(self) -> torch.Generator:
        """The step's random source: a function of (seed, global step) alone."""
        seed = self.args.seed * 1_000_003 + self.state.global_step
        return torch.Generator(device=self.args.device).manual_seed(seed)

    def checked(self, loss: Tensor) -> Tensor:
        """The loss, if it is finite. Raises ReckonError for NaN or infinity, which must not reach the log."""
        if not bool(torch.isfinite(loss)):
            raise ReckonError(
                f"step {self.state.global_step}: the loss is {loss.item()}: training has diverged. "
                "Fix: lower training.learning_rate, or resume from the last checkpoint."
            )
        return loss


def micro_batches(rollouts: Rollouts, size: int) -> list[list[int]]:
    """Groups of an update sorted by length, `size` at a time; similar lengths need little padding."""
    longest = rollouts.lengths.view(-1, rollouts.group_size).amax(dim=1)  # [B]
    order = (rollouts.prompts.lengths + rollouts.group_size * longest).argsort(stable=True).tolist()
    return [order[start : start + size] for start in range(0, len(order), size)]


class PolicyTrainer(StepTrainer, ABC):
    """Policy optimisation over groups of replies that share a prompt."""

    appends_marker = True
    """Whether the engine appends the marker to replies that end without it; for methods that read the state at the
    marker."""
    rewards_entropy = False
    """Whether `score` reads the entropies of the rollouts."""

    def __init__(self, *, backbone: Backbone, settings: PolicySettings, marker: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.backbone, self.settings = backbone, settings
        self.engine = SharedPrefixEngine(backbone, marker, appends_marker=self.appends_marker)
        self._sums: dict[str, float] = defaultdict(float)
        self.reference = ReferencePolicy(backbone) if settings.grpo.beta > 0 else None

    @abstractmethod
    def prompt_ids(self, example: Row) -> list[int]:
        """Token ids of one example's prompt."""

    @abstractmethod
    def score(self, rollouts: Rollouts, examples: Sequence[Row]) -> Tensor:
        """Rewards of all trajectories: [N]."""

    def extra_loss(self, hidden: Tensor, examples: Sequence[Row], advantages: Tensor) -> Tensor:
        """A further loss term of the method for some groups: a scalar, summed over trajectories.

        Args:
            hidden: [b * G, D] states at the marker.
            examples: b of them.
            advantages: [b, G].
        """
        return hidden.new_zeros(())

    def begin_update(self, examples: Sequence[Row], first: bool) -> None:
        """Prepare an update; called before its forward passes. `first`: the replies are new."""

    def end_update(self) -> None:
        """Finish an update; called after its backward passes."""

    def token_weights(self, rollouts: Rollouts) -> Tensor:
        """Weight of each reply token in the loss: [N, T]."""
        settings = self.settings
        weights = token_weights(rollouts.sampled, settings.grpo.loss_type, settings.sampling.max_completion_length)
        if settings.top_entropy == 1:
            return weights
        assert rollouts.entropies is not None
        return weights * top_entropy_tokens(rollouts.entropies, rollouts.sampled, settings.top_entropy)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One step over N = B * G trajectories: sample, reward, update, report."""
        examples, settings, grpo = inputs["examples"], self.settings, self.settings.grpo
        self.backbone.train_without_dropout()  # without dropout the ratios are 1 before the first step
        started = time.perf_counter()

        # 1. Sample. Rows i*G .. (i+1)*G - 1 share prompt i.
        rollouts = self.engine.sample(
            [self.prompt_ids(example) for example in examples],
            settings.sampling,
            num_generations=grpo.num_generations,
            generator=self.step_generator(),
            with_entropy=self.rewards_entropy or settings.top_entropy < 1,
        )
        sampled = time.perf_counter()

        # 2. Reward, and compare within each group.
        rewards = self.score(rollouts, examples).view(-1, grpo.num_generations)  # [B, G]
        advantages = group_advantages(rewards, grpo.advantage)  # [B, G]
        rewarded = time.perf_counter()

        # 3. Update, once or several times; the trainer takes the last optimiser step.
        old = rollouts.logprobs.clone()  # [N, T]
        total = self._update(rollouts, old, examples, advantages, first=True)
        for _ in range(grpo.updates_per_rollout - 1):
            self._optimizer_step()
            total = self._update(rollouts, old, examples, advantages, first=False)

        # 4. Report what a person needs to trust the step.
        self._report_step(rollouts, rewards, advantages)
        self.report(
            time__rollout=sampled - started,
            time__reward=rewarded - sampled,
            time__update=time.perf_counter() - rewarded,
        )
        return total / self.current_gradient_accumulation_steps

    def _update(
        self, rollouts: Rollouts, old: Tensor, examples: Sequence[Row], advantages: Tensor, *, first: bool
    ) -> Tensor:
        """Forward and backward passes of one update: the loss.

        Each loss belongs to one trajectory and N is fixed, so micro_batch_size changes memory and nothing else.

        Args:
            rollouts: N = B * G trajectories.
            old: [N, T] log-probabilities that ratios compare with; the first update of weights in reduced precision
                writes its own there.
            examples: B.
            advantages: [B, G].
            first: whether the policy is the one that sampled.
        """
        size = self.settings.grpo.num_generations
        weights = self.token_weights(rollouts)  # [N, T]
        self.begin_update(examples, first)
        total = advantages.new_zeros(())
        for groups in micro_batches(rollouts, self.settings.micro_batch_size):
            rows = [group * size + g for group in groups for g in range(size)]
            part = rollouts.part(groups)
            longest = part.reply_ids.shape[1]
            part = replace(part, logprobs=old[rows, :longest])
            chosen, compared = [examples[group] for group in groups], advantages[groups]
            token_loss, hidden = self._token_loss(part, weights[rows, :longest], compared, first=first)
            old[rows, :longest] = part.logprobs
            extra = self.extra_loss(hidden, chosen, compared)
            loss = self.checked(token_loss / len(rollouts) + extra / len(examples))
            self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
            total += loss.detach()
            self.widest = max(self.widest, part.prompts.ids.numel() + part.reply_ids.numel())
        self.end_update()
        return total

    def _optimizer_step(self) -> None:
        """An optimiser step between two updates of the same replies, as the trainer takes it after the last."""
        assert self.optimizer is not None and self.model is not None
        if self.args.max_grad_norm:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _token_loss(
        self, part: Rollouts, weights: Tensor, advantages: Tensor, *, first: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Summed token loss of some groups with advantages [b, G], and the states at the last token [n, D], n = b * G.

        The replies of a group share the forward pass of their prompt. `weights` is [n, T]. Ratios compare with
        `part.logprobs`. In reduced precision sampling and update compute the same log-probabilities up to 0.03, so the
        first update's own are the old ones, written there: its ratios are 1.
        """
        settings, grpo, size = self.settings, self.settings.grpo, self.settings.grpo.num_generations
        ids, mask, old = part.reply_ids, part.sampled, part.logprobs
        states, last = self.backbone.read_prompts(part.prompts)
        hidden = self.backbone.read_replies(ids, states.reader(size))  # [n, T, D]
        predicting = torch.cat([last.repeat_interleave(size, 0)[:, None], hidden[:, :-1]], dim=1)
        logprobs, entropy = token_logprobs(self.backbone, predicting, ids, mask, settings.sampling)  # [n, T]
        tokens = mask.sum().clamp_min(1)
        if first:
            self._tally(logprob_gap=(logprobs.detach() - old).abs().sum(), first_tokens=tokens)
            if self.backbone.dtype != "float32":
                old.copy_(logprobs.detach())
        reference = None
        if self.reference is not None:
            reference = self.reference.logprobs(part.prompts, ids, mask, size, settings.sampling)
            self._tally(kl=token_kl(logprobs.detach(), reference).sum())
        losses = token_losses(
            logprobs,
            old,
            weights,
            advantages.flatten(),
            grpo.epsilon,
            grpo.epsilon_high,
            reference_logprobs=reference,
            beta=grpo.beta,
        )
        outside = clip_share(logprobs.detach(), old, mask, grpo.epsilon, grpo.epsilon_high)
        self._tally(
            tokens=tokens,
            entropy=entropy.sum(),
            clip_share=outside * tokens,
            ratio__mean=((logprobs.detach() - old).exp() * mask).sum(),  # 1 where both passes compute the same
        )
        return losses.sum(), gather_rows(hidden, part.lengths - 1)

    def _tally(self, **sums: Tensor) -> None:
        """Add sums over the reply tokens of one micro-batch; their means over the whole step are logged, that of the
        gap over the first update."""
        for name, value in sums.items():
            self._sums[name] += float(value)

    def _report_step(self, rollouts: Rollouts, rewards: Tensor, advantages: Tensor) -> None:
        tokens = self._sums.pop("tokens")
        self.report(logprob_gap=self._sums.pop("logprob_gap") / self._sums.pop("first_tokens"))
        self.report(**{name: total / tokens for name, total in self._sums.items()})
        self._sums.clear()
        self.report(
            reward__mean=rewards.mean(),
            reward__std=rewards.std(),
            advantage__zero_groups=(advantages == 0).all(dim=1).float().mean(),
            reply__length=rollouts.sampled.sum(dim=1).float().mean(),
            reply__truncated=rollouts.truncated.float().mean(),
            reply__marked=rollouts.marked.float().mean(),
        )
