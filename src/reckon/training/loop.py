"""The loop around a trainer: early stopping, Ctrl-C, the bar that a person sees.

Entry points: `run_trainer`, `StepShare` for who wants to know how far it is, `quiet_transformers`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

from reckon.rl.checkpoints import StopOnInterrupt
from reckon.runs.write import Interrupted

BAR_NUMBERS = (
    ("loss", "loss"),
    ("reward/mean", "reward"),
    ("eval_ndcg@10", "validation NDCG@10"),
    ("eval_mae", "validation MAE"),
)  # logged names and how a person reads them, beside a trainer's bar


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
