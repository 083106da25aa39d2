"""What training has in common, whatever the method: its settings, its optimiser, and how a trainer is run to its end.

Entry points: `TrainingConfig`, `run_config`, `training_arguments` and `adamw` before training, `run_trainer` for the
run itself, `StepShare` for who wants to know how far it is.
Knows nothing about rewards or about what a method predicts.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils import logging

from reckon.config import load_config
from reckon.errors import ConfigError
from reckon.methods.run_directory import Interrupted
from reckon.models.backbone import Backbone, DType, LoraSettings, load_backbone
from reckon.rl.checkpoints import StopOnInterrupt

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Optimisation. Section `training`."""

    learning_rate: float = 1e-5
    """Peak learning rate of AdamW, > 0; constant after the warm-up."""

    warmup_steps: int = 32
    """Steps of linear warm-up."""

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
    """Passes over the training rows, unless max_steps is set."""

    max_steps: int = -1
    """Updates; -1 lets num_epochs decide."""

    eval_steps: int = 50
    """Updates between validations; a checkpoint is saved at each."""

    validation_size: int = 500
    """Validation rows in the fixed sample that early stopping looks at."""

    patience: int = 3
    """Validations without a better result after which training stops. The best validated weights are kept; the start is
    validated too, and shown, but never kept."""

    report_to: str = "none"
    """Tracker that also gets every logged number, by transformers' names: `tensorboard`, `wandb`, `mlflow`, `none`."""

    dtype: DType = "float32"
    """Dtype of the weights."""

    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "micro_batch_size", "eval_steps", "patience", "validation_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"training.{name}", getattr(self, name), "must be at least 1", "use the default")
        for name in ("learning_rate", "embedding_lr_scale", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"training.{name}", getattr(self, name), "must be positive", "use the default")
        for name in ("weight_decay", "warmup_steps"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"training.{name}", getattr(self, name), "must not be negative", "use the default")
        if self.max_steps < 1 and self.max_steps != -1:
            raise ConfigError("training.max_steps", self.max_steps, "must be at least 1", "or -1 to use num_epochs")
        if not 0 < self.num_epochs < math.inf:
            raise ConfigError("training.num_epochs", self.num_epochs, "must be positive", "use the default")


BAR_NUMBERS = (
    ("loss", "loss"),
    ("reward/mean", "reward"),
    ("eval_ndcg@10", "validation NDCG@10"),
    ("eval_mae", "validation MAE"),
)  # logged names and how a person reads them, beside a trainer's bar


def check_precision(training: "TrainingConfig", lora: LoraSettings) -> None:
    """Refuse bfloat16 weights that are trained themselves: a step of 1e-5 of a weight is below their resolution."""
    if training.dtype == "bfloat16" and lora.r == 0:
        raise ConfigError(
            "training.dtype", "bfloat16", "weights in it lose small updates", "use float32, or adapters with lora.r > 0"
        )


def backbone_to_train(
    backbone: str | Path | Backbone, training: "TrainingConfig", lora: LoraSettings, seed: int
) -> Backbone:
    """A backbone as a run's settings want it: loaded from a hub id or folder, unless it is loaded already."""
    if isinstance(backbone, Backbone):
        return backbone
    return load_backbone(
        backbone,
        dtype=training.dtype,
        lora=lora,
        gradient_checkpointing=training.gradient_checkpointing,
        seed=seed,
    )


def run_config(
    preset: ConfigT,
    saved: Path,
    file: Path | None,
    overrides: Sequence[str],
    *,
    resume: bool,
    seed: int | None,
) -> ConfigT:
    """The settings of a run: those it began with where it is resumed, else the preset and the file; overrides win.

    Args:
        preset: a whole config with a field `seed`.
        saved: where the run saved its settings when it began; it may not have come so far.
        file: YAML over the preset.
        overrides: `section.field=value` strings, of a resumed run too.
        resume: whether the run goes on.
        seed: wins over every other seed; None: as the others say.
    """
    if seed is not None:
        overrides = [*overrides, f"seed={seed}"]
    if resume and saved.exists():
        return load_config(type(preset), saved, overrides)
    return load_config(type(preset), file, overrides, base=preset)


def training_arguments(
    training: TrainingConfig,
    seed: int,
    out: Path,
    device: torch.device,
    metric: str,
    progress: bool,
    *,
    greater_is_better: bool = True,
) -> TrainingArguments:
    """Reckon's settings as transformers' TrainingArguments; the best validated `metric` decides what is kept."""
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        warmup_steps=training.warmup_steps,
        lr_scheduler_type="constant_with_warmup",
        num_train_epochs=training.num_epochs,
        max_steps=training.max_steps,
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is not finite must stop the run, not vanish in an average
        eval_strategy="steps",
        eval_steps=training.eval_steps,
        eval_on_start=True,
        save_strategy="steps",
        save_steps=training.eval_steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=greater_is_better,
        remove_unused_columns=False,
        dataloader_drop_last=True,
        report_to=training.report_to,
        disable_tqdm=not progress,
        seed=seed,
        use_cpu=device.type == "cpu",
    )
    # With several accelerators in sight transformers would multiply the batch by their number and wrap the model.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class OptimizerSettings(Protocol):
    """What `adamw` asks of a section of settings."""

    @property
    def learning_rate(self) -> float: ...
    @property
    def embedding_lr_scale(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def adamw(backbone: Backbone, training: OptimizerSettings) -> torch.optim.Optimizer:
    """AdamW over what is trained; the token embedding may have a learning rate of its own."""
    embedding = backbone.causal_lm.get_input_embeddings().weight
    others = [p for p in backbone.model.parameters() if p.requires_grad and p is not embedding]
    groups = [{"params": others, "lr": training.learning_rate}]
    if embedding.requires_grad:
        groups.append({"params": [embedding], "lr": training.learning_rate * training.embedding_lr_scale})
    return torch.optim.AdamW(groups, lr=training.learning_rate, weight_decay=training.weight_decay)


def run_trainer(trainer: Any, out: Path, patience: int, start: Path | None) -> float:
    """Train until the end, until `patience` validations bring nothing, or until Ctrl-C; returns the seconds.

    Args:
        trainer: a `StepTrainer` with a `trajectories` log; it ends holding its best validated weights.
        out: run directory, for the message.
        patience: validations without a better result after which training stops.
        start: the checkpoint to go on from.

    Raises:
        Interrupted: Ctrl-C, after the state was saved.
    """
    interrupt = StopOnInterrupt()
    for callback in (EarlyStoppingCallback(patience), interrupt):
        trainer.add_callback(callback)
    trainer.remove_callback(PrinterCallback)  # log lines belong in log.json; a person gets the bar
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(_BarAlone)
    began = time.perf_counter()
    with quiet_transformers():
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
    trainer.trajectories.flush(trainer.state.global_step)
    if interrupt.interrupted:
        raise Interrupted(out)
    return time.perf_counter() - began


class StepShare(TrainerCallback):
    """Tells which share of the updates is done, 0 to 1, after each; a training that stops early never says 1."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        self.on_progress = on_progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.on_progress(state.global_step / state.max_steps)


class _BarAlone(ProgressCallback):
    """transformers' bar with the newest numbers beside it, in place of a line for every logged step."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: dict[str, str] = {}

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        for key, label in BAR_NUMBERS:
            if logs and key in logs:
                self._newest[label] = f"{logs[key]:.3f}"
        if state.is_world_process_zero and self.training_bar is not None:
            self.training_bar.set_postfix(self._newest)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bar for every saved shard and no word on tied weights that are rightly absent from a checkpoint."""
    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
