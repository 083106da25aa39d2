"""Training of RecZero: GRPO with format and answer rewards.

Entry point: `fit`. Run directory, checkpoints, validation and early stopping are those of all methods. The best state
has the lowest MAE on a fixed sample of validation rows; a reply that does not parse has the row's largest possible
error.

Source: RecZero (arXiv 2510.23077) section 3.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from reckon.config import save_config
from reckon.data import Dataset
from reckon.data.ratings import RatingExample, RatingExamples, rating_examples
from reckon.errors import ConfigError
from reckon.locks import locked
from reckon.methods.reczero.config import RecZeroConfig
from reckon.methods.reczero.model import RecZeroModel
from reckon.metrics.rating import RatingResult, absolute_errors, squared_errors
from reckon.progress import phase
from reckon.prompts.rating_reply import REPLY_END, parse_rating
from reckon.rl.policy_trainer import ExampleRows, PolicySettings, PolicyTrainer
from reckon.rl.rewards.ranking import RewardFunction
from reckon.rl.rewards.rating import rating_reward
from reckon.rollout import Rollouts
from reckon.runs.write import TrajectoryLog, starting_point, write_run
from reckon.training.arguments import training_arguments
from reckon.training.checkpoints import last_checkpoint
from reckon.training.loop import StepShare, run_trainer
from reckon.training.optimizer import adamw

SELECTION_METRIC = "mae"


class RecZeroTrainer(PolicyTrainer):
    """GRPO on format and answer rewards."""

    appends_marker = False
    predictor: RecZeroModel
    validation: RatingExamples
    trajectories: TrajectoryLog
    reward: RewardFunction

    def attach(self, predictor: RecZeroModel, validation: RatingExamples, trajectories: TrajectoryLog) -> None:
        """Set the predictor and the fixed validation sample."""
        self.predictor, self.validation, self.trajectories = predictor, validation, trajectories
        arm = predictor.config.arm
        self.reward = rating_reward(
            predictor.scale,
            answer="exact" if arm == "exact-answer" else "graded",
            use_format=arm != "no-format",
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        self.optimizer = adamw(self.backbone, self.predictor.config.training)
        return self.optimizer

    def prompt_ids(self, example: RatingExample) -> list[int]:
        prompt = self.predictor.prompt(example)
        self.report(
            prompt__dropped_reviews=prompt.dropped_reviews,
            prompt__cut_texts=prompt.cut_texts,
            prompt__cut_titles=prompt.cut_titles,
        )
        if self.predictor.prompt_limit < self.predictor.config.prompt.max_tokens:
            self.report(prompt__context_limit=self.predictor.prompt_limit)
        return prompt.ids

    def score(self, rollouts: Rollouts, examples: Sequence[RatingExample]) -> Tensor:
        """Format plus answer reward of each trajectory: [N]."""
        rows = [example for example in examples for _ in range(rollouts.group_size)]
        replies = self.predictor.replies(rollouts)
        truths = [example.rating for example in rows]
        rewards = self.reward([None] * len(rows), replies, rollouts.reply_ids.tolist(), rating=truths)
        parsed = [parse_rating(reply, self.predictor.scale) for reply in replies]
        self.report(reply__parsed=sum(one.problem is None for one in parsed) / len(parsed))
        self.trajectories.add(
            self.state.global_step,
            rollouts,
            user_id=[example.user_id for example in rows],
            item_id=[self.predictor.catalog.ids[example.item_index] for example in rows],
            rating=truths,
            reply=replies,
            # Never None: a file with only None would have a column without type, which other files cannot be joined
            # with.
            predicted=[np.nan if one.rating is None else one.rating for one in parsed],
            problem=[one.problem or "" for one in parsed],
            reward=rewards,
        )
        return torch.tensor(rewards, device=rollouts.hidden.device)

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """MAE, RMSE and parse rate of the greedy replies to the fixed validation sample."""
        with phase("validating", total=len(self.validation)) as validating:
            rated = self.predictor.rate(self.validation, on_batch=validating.advance)
        result = RatingResult("validation", rated.predictions, self.validation.ratings, self.predictor.scale)
        metrics = {
            f"{metric_key_prefix}_mae": float(absolute_errors(result).mean()),
            f"{metric_key_prefix}_rmse": float(np.sqrt(squared_errors(result).mean())),
            f"{metric_key_prefix}_parse_rate": rated.reply_parse_rate,
            f"{metric_key_prefix}_reply/truncated": float(rated.truncated.mean()),
            f"{metric_key_prefix}_reply/length": float(rated.lengths.mean()),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def save_extra(self, folder: Path) -> None:
        self.trajectories.flush(self.state.global_step)  # a resumed run continues here and writes later steps again


@locked()
def fit(
    predictor: RecZeroModel,
    dataset: Dataset,
    out: Path,
    *,
    resume: bool = False,
    progress: bool = True,
    callbacks: Sequence[TrainerCallback] = (),
    method: str = "reczero",
) -> None:
    """Train the predictor in place, keep its best state, and write the run directory.

    Args:
        predictor: from `RecZero.from_backbone`.
        dataset: training and validation rows; test rows are not read.
        out: run directory. It must be new, or hold a run to `resume`.
        resume: continue from the latest whole checkpoint, bit for bit.
        progress: show a progress bar.
        callbacks: further transformers callbacks, e.g. a tracker.
        method: `reczero`, or `recone` for a backbone fine-tuned on a teacher's traces.

    Raises:
        CheckpointError: the directory holds a run already, or there is nothing to resume.
        DataError: the data set has no ratings.
    """
    config, backbone = predictor.config, predictor.backbone
    start = starting_point(out, resume, dataset.identity | backbone.identity)
    train = rating_examples(dataset, "train", config.prompt.window, config.prompt.item_window)
    validation = rating_examples(dataset, "valid", config.prompt.window, config.prompt.item_window)
    validation = validation.sample(config.training.validation_size, config.seed)
    if len(train) < config.training.batch_size:
        raise ConfigError(
            "training.batch_size", config.training.batch_size, f"there are only {len(train)} training rows", "lower it"
        )
    trainer = RecZeroTrainer(
        model=backbone.model,
        args=training_arguments(
            config.training,
            config.seed,
            out,
            backbone.device,
            SELECTION_METRIC,
            progress,
            greater_is_better=False,
        ),
        train_dataset=ExampleRows(train),
        eval_dataset=ExampleRows(validation),
        callbacks=list(callbacks),
        backbone=backbone,
        marker=REPLY_END,
        settings=PolicySettings(config.rollout, config.grpo, config.training.micro_batch_size),
    )
    trainer.attach(predictor, validation, TrajectoryLog(out / "trajectories"))
    save_config(config, out / "config.yaml")
    seconds = run_trainer(trainer, out, config.training.patience_steps, start)
    predictor.save_pretrained(out)
    log = trainer.state.log_history
    write_run(out, method, config, backbone, dataset, log, seconds, metric=SELECTION_METRIC, greater_is_better=False)


class RecZero(RecZeroModel):
    """RecZero with training; exported by `reckon.methods.reczero`."""

    def fit(self, dataset: Dataset, out: str | Path, *, resume: bool = False) -> Self:
        """Train in place by reinforcement learning, and write a run directory."""
        fit(self, dataset, Path(out), resume=resume)
        return self


def train(
    config: RecZeroConfig,
    dataset: Dataset,
    backbone: str | Path,
    out: Path,
    *,
    resume: bool | None = False,
    progress: bool = True,
    on_progress: Callable[[float], None] | None = None,
) -> RecZero:
    """Train a new RecZero into a run directory; called through the registry.

    Args:
        config, dataset, backbone, out: settings, data, causal language model, run directory.
        resume: continue from the latest whole checkpoint; None: only if there is one.
        progress: show a progress bar.
        on_progress: called with the share of updates done, 0 to 1.
    """
    model = RecZero.from_backbone(backbone, dataset, config)
    resume = last_checkpoint(out) is not None if resume is None else resume
    told = [] if on_progress is None else [StepShare(on_progress)]
    fit(model, dataset, out, resume=resume, progress=progress, callbacks=told)
    return model
