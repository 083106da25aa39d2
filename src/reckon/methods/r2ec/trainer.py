"""Training of R2ec: RecPO for the arms with rewards, the item loss alone for `no-reasoning` and `supervised`.

Entry point: `fit`. Both trainers share checkpoints, validation (NDCG@10 on a fixed sample; the best state is kept),
refreshes of the item table, and the run directory.

Source: R2ec (arXiv 2505.16994) section 3.2.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from reckon.config import save_config
from reckon.data import Dataset, Example, Examples
from reckon.locks import locked
from reckon.methods.r2ec.config import R2ecConfig
from reckon.methods.r2ec.item_term import ItemTerm
from reckon.methods.r2ec.model import R2ecModel
from reckon.methods.validation import SELECTION_METRIC, prompt_metrics, training_rows, validate
from reckon.models.item_table import ItemTable
from reckon.models.scoring import block_ranks, score_blocks
from reckon.prompts.r2ec import MARKER
from reckon.rl.objective import best_of_group, item_losses
from reckon.rl.policy_trainer import ExampleRows, PolicySettings, PolicyTrainer, StepTrainer
from reckon.rl.rewards.ranking import fused_reward
from reckon.rollout import Rollouts
from reckon.runs.saved_catalog import TABLE_FILE
from reckon.runs.write import TrajectoryLog, starting_point, write_run
from reckon.training.arguments import training_arguments
from reckon.training.checkpoints import last_checkpoint
from reckon.training.loop import StepShare, run_trainer
from reckon.training.optimizer import adamw

STALENESS_FILE = "item_staleness.safetensors"


class _R2ecTrainer(StepTrainer):
    """The common part of both trainers: item term, item table in checkpoints, validation."""

    recommender: R2ecModel
    validation: Examples
    item_term: ItemTerm
    trajectories: TrajectoryLog
    as_encoded: Tensor
    """[I] True for rows that have not changed since the last encoding of the whole table."""
    drift: float
    """Mean distance of such rows from their present encoding, divided by tau; see `item_drift`."""

    def attach(self, recommender: R2ecModel, validation: Examples, trajectories: TrajectoryLog) -> None:
        """Set the recommender and the fixed validation sample. The validation of the start encodes the items."""
        self.recommender, self.validation, self.trajectories = recommender, validation, trajectories
        self.item_term = ItemTerm(
            recommender.backbone, recommender.config.head, recommender.item_prompts, recommender.log_prior
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer = adamw(self.recommender.backbone, self.recommender.config.training)
        return self.optimizer

    def prompt_ids(self, example: Example) -> list[int]:
        """Token ids of one row's prompt; cuts by the token budget are reported."""
        prompt = self.recommender.fitted(example)
        self.report(**prompt_metrics(self.recommender, prompt))
        return prompt.ids

    def refresh_table(self) -> None:
        """Encode all items again."""
        self.recommender.refresh_items(untrained=self.state.global_step == 0)
        self.as_encoded = torch.ones(len(self.recommender.table), dtype=torch.bool, device=self.args.device)
        self.drift = 0.0

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """NDCG@10 and Hit@10 on the fixed validation sample, with a freshly encoded item table."""
        self.refresh_table()
        metrics = validate(self.recommender, self.validation, metric_key_prefix)
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def after_update(self) -> None:
        """Called after every optimiser step. Does nothing here: only validation reads the item table, after encoding it
        again."""

    def save_extra(self, folder: Path) -> None:
        """Save the item table: rewards read it, and rows of recent batches are newer than the others."""
        self.recommender.table.save(folder / TABLE_FILE)
        staleness = {"as_encoded": self.as_encoded.to(torch.uint8).cpu(), "drift": torch.tensor(self.drift).double()}
        save_file(staleness, folder / STALENESS_FILE)
        self.trajectories.flush(self.state.global_step)  # a resumed run continues here and writes later steps again

    def load_extra(self, folder: Path) -> None:
        """Load the saved item table bit for bit; encoding it again could differ in the last bits."""
        stored = ItemTable.load(folder / TABLE_FILE, self.recommender.catalog.ids)
        stored.vectors = stored.vectors.to(self.recommender.backbone.device)
        self.recommender.take_table(stored)
        staleness = load_file(folder / STALENESS_FILE)
        self.as_encoded, self.drift = staleness["as_encoded"].bool().to(self.args.device), float(staleness["drift"])


class RecPOTrainer(_R2ecTrainer, PolicyTrainer):
    """RecPO: groups of reasonings, rewarded by the target's rank, and the item term of the best trajectory."""

    def attach(self, recommender: R2ecModel, validation: Examples, trajectories: TrajectoryLog) -> None:
        super().attach(recommender, validation, trajectories)
        self._old_item_logprobs: list[Tensor] = []
        """Item log-probabilities of the first update, by micro-batch."""
        self._micro_batch = 0

    def after_update(self) -> None:
        """Encode the batch's rows again, and the whole item table if it is stale or due."""
        training, tau = self.recommender.config.training, self.recommender.config.head.tau
        moved, columns = self.item_term.refresh(self.recommender.table.vectors), self.item_term.columns
        old = self.as_encoded[columns]
        self.as_encoded[columns] = False
        # Staleness is measured on rows that have not changed since the last whole encoding.
        self.drift = float((moved[old] if bool(old.any()) else moved).mean()) / tau
        self.report(items__drift=self.drift)
        every = training.item_refresh_steps
        if self.drift >= training.item_drift or (every and self.state.global_step % every == 0):
            self.refresh_table()

    def score(self, rollouts: Rollouts, examples: Sequence[Example]) -> Tensor:
        """Fused reward of each trajectory: [N], from the target's rank and probability in the whole catalog."""
        config, size = self.recommender.config, rollouts.group_size
        rows = [example for example in examples for _ in range(size)]
        ranks, probabilities = target_columns(self.recommender, rollouts.hidden, rows)
        texts = self.recommender.reasonings(rollouts)
        reward = fused_reward(config.reward_share, config.recpo.reward_cutoff)
        rewards = reward(
            [None] * len(rows),
            texts,
            rollouts.reply_ids.tolist(),
            target_rank=ranks.tolist(),
            target_probability=probabilities.tolist(),
            catalog_size=len(self.recommender.catalog),
        )
        self.trajectories.add(
            self.state.global_step,
            rollouts,
            user_id=[example.user_id for example in rows],
            target=[example.target for example in rows],
            reasoning=texts,
            reward=rewards,
            target_rank=ranks.tolist(),
        )
        return torch.tensor(rewards, device=rollouts.hidden.device)

    def begin_update(self, examples: Sequence[Example], first: bool) -> None:
        self.item_term.begin(examples, self.step_generator())
        self._micro_batch = 0
        if first:
            self._old_item_logprobs.clear()

    def extra_loss(self, hidden: Tensor, examples: Sequence[Example], advantages: Tensor) -> Tensor:
        """-l_eps(r_rec, A) of each group's best trajectories; in the first update of a rollout r_rec is 1 in value."""
        recpo = self.recommender.config.recpo
        best = best_of_group(advantages, recpo.item_trajectories).flatten()  # [n]
        rows = [example for example in examples for _ in range(recpo.num_generations)]
        chosen = [example for example, kept in zip(rows, best.tolist(), strict=True) if kept]
        logprobs = self.item_term.target_logprobs(hidden[best], chosen)
        if self._micro_batch == len(self._old_item_logprobs):
            self._old_item_logprobs.append(logprobs.detach())
        old = self._old_item_logprobs[self._micro_batch]  # micro-batches come in the same order every time
        self._micro_batch += 1
        losses = item_losses(
            logprobs,
            old,
            advantages.flatten()[best],
            torch.ones_like(logprobs, dtype=torch.bool),
            recpo.epsilon,
            recpo.epsilon_high,
        )
        return recpo.item_weight * losses.sum()

    def end_update(self) -> None:
        self.item_term.finish(self.widest)


class ItemTrainer(_R2ecTrainer):
    """Trainer of the arms without a policy gradient: the loss is -log of the target's probability at the marker.

    The marker follows the prompt in the arm `no-reasoning`, and the greedy reasoning in the arm `supervised`.
    """

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """One update: encode the batch's items, read the users, minimise -log pi(v+ | x)."""
        examples, backbone = inputs["examples"], self.recommender.backbone
        prompts = self.sequences(examples)
        backbone.train_without_dropout()  # items are encoded twice, for the loss and for its gradient
        self.item_term.begin(examples, self.step_generator())
        total = torch.zeros((), device=self.args.device)
        size = self.recommender.config.training.micro_batch_size
        order = sorted(range(len(examples)), key=lambda row: len(prompts[row]))  # similar lengths need little padding
        for start in range(0, len(examples), size):
            chosen = order[start : start + size]
            rows = [examples[row] for row in chosen]
            batch = backbone.pad([prompts[row] for row in chosen])
            hidden = backbone.last_hidden(batch)
            loss = self.checked(-self.item_term.target_logprobs(hidden, rows).sum() / len(examples))
            self.accelerator.backward(loss / self.current_gradient_accumulation_steps)
            total += loss.detach()
            self.widest = max(self.widest, batch.ids.numel())
        self.item_term.finish(self.widest)
        return total / self.current_gradient_accumulation_steps

    def sequences(self, examples: Sequence[Example]) -> list[list[int]]:
        """Token ids of the prompt, of the reasoning if the arm has one, and of the marker."""
        prompts = [self.prompt_ids(example) for example in examples]
        if not self.recommender.reasons:
            return prompts
        _, rollouts = self.recommender.read(examples)
        assert rollouts is not None
        self.report(reply__length=rollouts.sampled.sum(dim=1).float().mean())
        self.report(reply__truncated=rollouts.truncated.float().mean())
        ends = rollouts.lengths.tolist()
        return [prompt + rollouts.reply_ids[row, : ends[row]].tolist() for row, prompt in enumerate(prompts)]


class _AfterUpdate(TrainerCallback):
    """Calls `after_update` after every optimiser step, before logging, validation and checkpoints."""

    def __init__(self, trainer: _R2ecTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.trainer.after_update()


def target_columns(recommender: R2ecModel, hidden: Tensor, examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Reward columns from the rec head: rank [n] and softmax probability [n] of each target over the catalog."""
    targets = torch.tensor([example.target for example in examples], device=hidden.device)
    ranks, probabilities = torch.empty_like(targets), hidden.new_empty(len(targets), dtype=torch.float32)
    blocks = score_blocks(
        recommender.queries(hidden), recommender.table.vectors, recommender.bias, recommender.seen(examples)
    )
    for rows, scores in blocks:
        ranks[rows] = block_ranks(scores, targets[rows])
        own = scores.gather(1, targets[rows, None])[:, 0]  # [n]
        chance = torch.exp(own - scores.logsumexp(dim=1))
        probabilities[rows] = torch.where(own == -torch.inf, 0.0, chance)  # all items excluded: probability 0
    return ranks, probabilities


@locked()
def fit(
    recommender: R2ecModel,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train the recommender in place, keep its best state, and write the run directory.

    Args:
        recommender: from `R2ec.from_backbone`; its config says which arm.
        dataset: training and validation rows; test rows are not read.
        out: run directory. It must be new, or hold a run to `resume`.
        resume: continue from the latest whole checkpoint, bit for bit.
        progress: show a progress bar.
        callbacks: further transformers callbacks, e.g. a tracker.

    Raises:
        CheckpointError: the directory holds a run already, or there is nothing to resume.
    """
    config, backbone = recommender.config, recommender.backbone
    start = starting_point(out, resume, dataset.identity | backbone.identity)
    train, validation = training_rows(recommender, dataset)
    shared = dict(
        model=backbone.model,
        args=training_arguments(config.training, config.seed, out, backbone.device, SELECTION_METRIC, progress),
        train_dataset=ExampleRows(train),
        eval_dataset=ExampleRows(validation),
        callbacks=list(callbacks),
    )
    trainer: RecPOTrainer | ItemTrainer
    if config.reinforces:
        trainer = RecPOTrainer(
            **shared,
            backbone=backbone,
            marker=MARKER,
            settings=PolicySettings(config.rollout, config.recpo, config.training.micro_batch_size),
        )
    else:
        trainer = ItemTrainer(**shared)
    trainer.attach(recommender, validation, TrajectoryLog(out / "trajectories"))
    trainer.add_callback(_AfterUpdate(trainer))
    save_config(config, out / "config.yaml")
    seconds = run_trainer(trainer, out, config.training.patience_steps, start)
    trainer.refresh_table()
    recommender.save_pretrained(out)
    write_run(
        out, recommender.METHOD, config, backbone, dataset, trainer.state.log_history, seconds, metric=SELECTION_METRIC
    )


class R2ec(R2ecModel):
    """R2ec with training; exported by `reckon.methods.r2ec`."""

    def fit(self, dataset: Dataset, out: str | Path, *, resume: bool = False) -> Self:
        """Train in place, by RecPO or by the item loss alone, and write a run directory."""
        fit(self, dataset, Path(out), resume=resume)
        return self


def train(
    config: R2ecConfig,
    dataset: Dataset,
    backbone: str | Path,
    out: Path,
    *,
    resume: bool | None = False,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> R2ec:
    """Train a new R2ec into a run directory; called through the registry.

    Args:
        config, dataset, backbone, out: settings, data, causal language model, run directory.
        resume: continue from the latest whole checkpoint; None: only if there is one.
        progress: show a progress bar.
        on_progress: called with the share of updates done, 0 to 1.
    """
    model = R2ec.from_backbone(backbone, dataset, config)
    resume = last_checkpoint(out) is not None if resume is None else resume
    told = [] if on_progress is None else [StepShare(on_progress)]
    fit(model, dataset, out, resume=resume, progress=progress, callbacks=told)
    return model
