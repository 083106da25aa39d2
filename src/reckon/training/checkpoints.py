"""A transformers.Trainer whose checkpoints are whole or absent, and which stops cleanly.

Entry point: `CheckpointedTrainer`. A checkpoint is written to `.saving/` and renamed when it is complete, so a kill
during a save leaves the previous one; `checkpoint_to_resume` is the newest whose checksums are right. With `save_extra`
and `load_extra` a subclass adds files of its own to every checkpoint. Ctrl-C finishes the step in hand, saves, and
stops; a second one stops at once.
"""

import logging
import os
import re
import shutil
import signal
import threading
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import rotate_checkpoints

from reckon.checksums import CHECKSUMS_FILE, damage_of, is_checking, write_checksums
from reckon.errors import CheckpointError
from reckon.json_file import read_json
from reckon.messages import one_line
from reckon.training.best import Best
from reckon.training.schedule import rate_share

CHECKPOINT = re.compile(r"checkpoint-(\d+)")
STAGING = ".saving"
ASIDE = "damaged-"  # before the name of a checkpoint that a resume found damaged

log = logging.getLogger(__name__)


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C after its state was saved."""

    def __init__(self, out: Path) -> None:
        self.out = out
        super().__init__(f"saved to {out}; go on with --resume")


class CheckpointedTrainer(Trainer):
    """Saves checkpoints under a temporary name, then renames them; keeps the best validated one, the start included."""

    patience_steps = 0
    """Updates without a better validation after which training stops; 0: none."""

    def save_extra(self, folder: Path) -> None:
        """Add files of the subclass's own to a checkpoint that is being written."""

    def load_extra(self, folder: Path) -> None:
        """Read back what `save_extra` wrote."""

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(resume_from_checkpoint, str):
            self.load_extra(Path(resume_from_checkpoint))
            shutil.rmtree(Path(str(self.args.output_dir)) / STAGING, ignore_errors=True)  # left by a kill
            # The first validation is in the log already, and the state that it was of is not here any more.
            self.args.eval_on_start = False
            if self._take_end(Path(resume_from_checkpoint)):
                return None
        self.pop_callback(_BestInRun)
        self.add_callback(_BestInRun)
        handler = signal.getsignal(signal.SIGINT)
        try:
            return super().train(resume_from_checkpoint, *args, **kwargs)
        finally:  # a run that fails has no on_train_end, and must not keep Ctrl-C for itself
            if threading.current_thread() is threading.main_thread() and handler is not None:
                signal.signal(signal.SIGINT, handler)

    def _take_end(self, checkpoint: Path) -> bool:
        """Whether training has ended at a checkpoint; the best weights and the log are then those of the run."""
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        validated = any(entry["step"] == state.global_step for entry in state.log_history if _is_validation(entry))
        spent = validated and bool(self.patience_steps) and self._best(state).is_spent(state.global_step)
        updates = self.args.max_steps if self.args.max_steps > 0 else state.max_steps  # else the epochs decided
        if state.global_step < updates and not spent:
            return False
        self.state = state
        settle_best(state, Path(str(self.args.output_dir)))
        self._rotate(Path(str(self.args.output_dir)))
        if state.best_model_checkpoint is None:
            self._load_from_checkpoint(str(checkpoint))
        else:
            self._load_best_model()
        return True

    def _best(self, state: TrainerState) -> Best:
        """The best validation so far, as a trainer's state knows it."""
        metric = self.args.metric_for_best_model
        assert metric is not None
        return Best(
            metric=metric,
            patience=self.patience_steps,
            greater_is_better=bool(self.args.greater_is_better),
            value=state.best_metric,
            step=state.best_global_step or 0,
        )

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Warm-up that moves from the first update on; transformers' begins at 0, which wastes a rollout."""
        if self.lr_scheduler is None:
            warmup = self.args.get_warmup_steps(num_training_steps)
            updates = num_training_steps if self.args.lr_scheduler_type == "linear" else None
            chosen = optimizer or self.optimizer
            assert chosen is not None
            share = partial(rate_share, warmup=warmup, updates=updates)
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(chosen, share)
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        metrics: dict[str, float] = super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)
        if skip_scheduler:  # transformers validates the start so, and would let no run keep it
            self._determine_best_metric(metrics, trial)
            self._save_checkpoint(self.model, trial)
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        """Whether this validation is the best; stops the training where patience is spent.

        What it knows of earlier ones is in the trainer's state, which a resumed run has read.
        """
        state = self.state
        best = self._best(state)
        better = best.see(metrics[f"eval_{best.metric}"], state.global_step)
        state.best_metric, state.best_global_step = best.value, best.step
        if self.patience_steps and best.is_spent(state.global_step):
            self.control.should_training_stop = True
        return better

    def _get_output_dir(self, trial: Any) -> str:
        folder = super()._get_output_dir(trial)
        return os.path.join(folder, STAGING) if getattr(self, "_staging", False) else folder

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        shutil.rmtree(run / STAGING, ignore_errors=True)
        try:
            self._staging = True
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = False
            staged = run / STAGING / name
            if self.state.best_global_step == self.state.global_step:
                self.state.best_model_checkpoint = str(run / name)
            if self.args.should_save:
                self.state.save_to_json(str(staged / TRAINER_STATE_NAME))
                self.save_extra(staged)
                write_checksums(staged)
                shutil.rmtree(run / name, ignore_errors=True)
                os.replace(staged, run / name)
        finally:  # also where a comparison ends this process in the middle
            if self.args.should_save:
                shutil.rmtree(run / STAGING, ignore_errors=True)
        if self.args.should_save:
            self._rotate(run)

    def _rotate(self, run: Path) -> None:
        """Remove the older checkpoints, one that a kill has half removed among them."""
        rotate_checkpoints(
            output_dir=str(run),
            save_total_limit=self.args.save_total_limit,
            best_model_checkpoint=self.state.best_model_checkpoint,
            use_mtime=False,
        )


def settle_best(state: TrainerState, run: Path) -> None:
    """Let the best checkpoint be the one below `run`: the run may have been moved, or begun from another directory.

    Raises:
        CheckpointError: it is not there, or is damaged; other weights would be kept in its place.
    """
    if state.best_metric is None:
        return
    best = run / f"checkpoint-{state.best_global_step or 0}"
    fix = "put it back, or start another run"
    if not best.is_dir():
        raise CheckpointError(run, f"lacks {best.name}, its best checkpoint", fix)
    if problem := _damage(best):
        raise CheckpointError(best, f"is the best checkpoint and is damaged ({problem})", fix)
    state.best_model_checkpoint = str(best)


class _BestInRun(TrainerCallback):
    """Settles the best checkpoint once a trainer has read its state, which names the folder of an earlier call."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        settle_best(state, Path(str(args.output_dir)))


def _is_validation(entry: Mapping[str, Any]) -> bool:
    return any(name.startswith("eval_") for name in entry)


def last_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run directory; None where there is none."""
    return next(iter(_newest_first(run)), None)


def checkpoint_to_resume(run: Path) -> Path | None:
    """The newest checkpoint whose files are as they were written; None where there is no checkpoint.

    Newer ones, which are damaged, are renamed, so that none is taken for the newest later; a line tells of each.

    Raises:
        CheckpointError: all checkpoints are damaged.
    """
    damaged: list[tuple[Path, str]] = []
    for checkpoint in _newest_first(run):
        problem = _damage(checkpoint) if is_checking() else None
        if problem is not None:
            damaged.append((checkpoint, problem))
            continue
        for path, why in damaged:
            aside = path.with_name(f"{ASIDE}{path.name}")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
            log.warning(one_line(f"{path} is damaged ({why}) and now {aside.name}; going on from {checkpoint.name}."))
        return checkpoint
    if damaged:
        path, problem = damaged[0]
        raise CheckpointError(path, f"is damaged ({problem}), and there is no whole checkpoint", "start another run")
    return None


def _newest_first(run: Path) -> list[Path]:
    found = [(int(match[1]), path) for path in run.glob("checkpoint-*") if (match := CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(found, reverse=True)]


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None where nothing is."""
    if (checkpoint / CHECKSUMS_FILE).exists():
        problem = damage_of(checkpoint)
        return None if problem is None else f"{Path(problem[0]).name} {problem[1]}"
    try:  # of an earlier version, without checksums: only what is cut is found
        read_json(checkpoint / TRAINER_STATE_NAME, {"global_step": int, "log_history": [dict]})
        for file in checkpoint.glob("*.safetensors"):
            safe_open(file, framework="pt")
        for file in checkpoint.glob("*.pt*"):
            if zipfile.ZipFile(file).testzip() is not None:
                return f"{file.name} is damaged"
    except (CheckpointError, SafetensorError, zipfile.BadZipFile, OSError) as error:
        return str(error)
    return None


class StopOnInterrupt(TrainerCallback):
    """Ctrl-C: finish the step, save, stop. The second Ctrl-C is Python's own."""

    def __init__(self) -> None:
        self.interrupted = False
        self._previous: Any = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._request)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.interrupted:
            control.should_save = True
            control.should_training_stop = True

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _request(self, *_: Any) -> None:
        self.interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one stops, even where SIGINT was ignored
