"""From a run's settings to transformers' TrainingArguments.

Entry points: `run_config`, `training_arguments`; `common_arguments` and `use_one_device` for a trainer with arguments
of its own.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from reckon.config import load_config
from reckon.training.config import OptimizerConfig, TrainingConfig

ConfigT = TypeVar("ConfigT")


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
        **common_arguments(training, seed, out, device, progress),
        per_device_train_batch_size=training.batch_size,
        lr_scheduler_type="constant_with_warmup",
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
    )
    use_one_device(arguments)
    return arguments


def common_arguments(
    optimizer: OptimizerConfig, seed: int, out: Path, device: torch.device, progress: bool
) -> dict[str, Any]:
    """What every training tells transformers, by the names of TrainingArguments."""
    return {
        "output_dir": str(out),
        "learning_rate": optimizer.learning_rate,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.max_grad_norm,
        "warmup_steps": optimizer.warmup_steps,
        "num_train_epochs": optimizer.num_epochs,
        "max_steps": optimizer.max_steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a loss that is not finite must stop the run, not vanish in an average
        "disable_tqdm": not progress,
        "seed": seed,
        "use_cpu": device.type == "cpu",
    }


def use_one_device(arguments: TrainingArguments) -> None:
    """With several accelerators in sight transformers would multiply the batch by their number and wrap the model."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
