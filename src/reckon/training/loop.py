"""The loop around a trainer: early stopping, Ctrl-C, what a person sees of it.

Entry points: `run_trainer`, `shown_steps`, `StepShare` for who wants to know how far it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from reckon.progress import Phase, phase, quiet_transformers
from reckon.training.checkpoints import Interrupted, StopOnInterrupt

BAR_NUMBERS = (
    ("loss", "loss"),
    ("reward/mean", "reward"),
    ("eval_ndcg@10", "validation NDCG@10"),
    ("eval_mae", "validation MAE"),
)  # logged names and how a person reads them, beside a trainer's steps


def run_trainer(trainer: Any, out: Path, patience_steps: int, start: Path | None) -> float:
    """Train until the end, until `patience_steps` updates bring nothing, or until Ctrl-C; returns the seconds.

    Args:
        trainer: a `StepTrainer` with a `trajectories` log; it ends holding its best validated weights.
        out: run directory, for the message.
        patience_steps: updates without a better validation after which training stops.
        start: the checkpoint to go on from.

    Raises:
        Interrupted: Ctrl-C, after the state was saved.
    """
    interrupt = StopOnInterrupt()
    trainer.add_callback(interrupt)
    trainer.patience_steps = patience_steps
    began = time.perf_counter()
    with quiet_transformers(), shown_steps(trainer):
        trainer.train(resume_from_checkpoint=None if start is None else str(start))
    trainer.trajectories.flush(trainer.state.global_step)
    if interrupt.interrupted:
        raise Interrupted(out)
    return time.perf_counter() - began


@contextmanager
def shown_steps(trainer: Any) -> Iterator[None]:
    """Show a trainer's steps as every long phase is shown, in place of transformers' bar and line for every step."""
    for theirs in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(theirs)
    with phase("training", shown=not trainer.args.disable_tqdm) as running:
        trainer.add_callback(_StepNumbers(running))
        yield


class StepShare(TrainerCallback):
    """Tells which share of the updates is done, 0 to 1, after each; a training that stops early never says 1."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        self.on_progress = on_progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.on_progress(state.global_step / state.max_steps)


class _StepNumbers(TrainerCallback):
    """Moves a phase with a trainer's steps, the newest loss, reward and validation beside them."""

    def __init__(self, running: Phase) -> None:
        self.running = running
        self._newest: dict[str, str] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.running.total, self.running.done = state.max_steps, state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.running.done = state.global_step

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
                self._newest[label] = f"{label} {logs[key]:.3f}"
        self.running.note = ", ".join(self._newest.values())
