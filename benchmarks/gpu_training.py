"""The arms of R2ec on an open language model, each in a process of its own on one GPU, for a given time.

Entry point: `train_arms`. Every arm trains until its time is over, validates, and keeps its best state; then one
process evaluates them side by side on the test rows, as `reckon evaluate RUN --beside RUN` does. A model of 135 M
parameters leaves most of a large card idle, so the arms run at the same time and share it.
"""

import json
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gpu_worker import DONE, answer
from measure import start

ARMS = ("no-reasoning", "full")  # the last is evaluated beside the others
SETTINGS = (  # over the preset `paper`: brief prompts, larger adapters and batches, no end but the time's
    *(f"prompt.{name}" for name in ("style=brief", "window=10", "title_words=8", "title_tokens=24", "item_words=16")),
    *(f"prompt.{name}" for name in ("item_tokens=64", "max_tokens=512")),
    *(f"head.{name}" for name in ("tau=0.07", "popularity_prior=1", "sampled_negatives=256")),
    *(f"rollout.{name}" for name in ("temperature=0.8", "top_k=50", "max_completion_length=48")),
    *(f"lora.{name}" for name in ("r=16", "alpha=32")),
    "recpo.num_generations=8",
    *(f"training.{name}" for name in ("learning_rate=5e-4", "warmup_steps=10", "max_steps=100000", "eval_steps=50")),
    *(f"training.{name}" for name in ("patience_steps=100000", "batch_size=64", "micro_batch_size=32")),
)
QUICK = ("training.batch_size=4", "training.micro_batch_size=4", "training.eval_steps=1", "training.validation_size=8",
         "training.max_steps=2", "rollout.max_completion_length=4", "head.sampled_negatives=4")  # fmt: skip
EVALUATION_SHARE = 0.25  # of the time, for the test rows
CURVE = ("eval_ndcg@10", "eval_hit@10", "eval_reply/truncated", "eval_reply/length", "reward/mean", "ratio/mean",
         "loss", "items/drift", "time/rollout", "time/update")  # fmt: skip


def train_arms(
    backbone: Path, data: Path, out: Path, seconds: float, settings: Sequence[str], quick: bool
) -> dict[str, Any]:
    """Train and evaluate all arms within `seconds`.

    Args:
        backbone, data: folders of `reckon backbone import` and `reckon data prepare`.
        out: an empty folder, which will hold a run for each arm and the evaluation.
        settings: `section.field=value` over `SETTINGS`.
        quick: tiny sizes.

    Returns:
        the settings, for each arm its updates and its curve, and `metrics.json` of the evaluation.
    """
    began = time.monotonic()
    chosen = [*SETTINGS, *(QUICK if quick else ()), *settings]
    training = seconds * (1 - EVALUATION_SHARE)
    sides = {arm: start(train_arm, arm, backbone, data, out / arm, chosen, training) for arm in ARMS}
    arms = {arm: answer(*side, seconds - (time.monotonic() - began)) for arm, side in sides.items()}
    found: dict[str, Any] = {"settings": chosen, "arms": arms}
    if any(arm["status"] != DONE for arm in arms.values()):
        return found | {"status": "failed: " + "; ".join(f"{name}: {arm['status']}" for name, arm in arms.items())}
    process, connection = start(evaluate_arms, out, 8 if quick else 128)
    return found | answer(process, connection, seconds - (time.monotonic() - began))


def train_arm(
    connection: Connection, arm: Any, backbone: Path, data: Path, out: Path, settings: Sequence[str], seconds: float
) -> None:
    """One arm in this process: its updates, seconds and curve."""
    end = time.monotonic() + seconds  # loading counts
    from transformers import TrainerCallback

    from reckon.config import load_config
    from reckon.data import Dataset
    from reckon.methods.r2ec.config import R2ecConfig, preset
    from reckon.methods.r2ec.trainer import R2ec, fit
    from reckon.progress import quiet_transformers

    class UntilTheEnd(TrainerCallback):
        """Ends training once the time is over, with a validation and a checkpoint."""

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if time.monotonic() > end:
                control.should_evaluate = control.should_save = control.should_training_stop = True

    dataset = Dataset.load(data)
    config = load_config(R2ecConfig, None, settings, base=preset("paper", arm))
    with quiet_transformers():
        model = R2ec.from_backbone(backbone, dataset, config)
        fit(model, dataset, out, progress=False, callbacks=[UntilTheEnd()])
    connection.send({"status": DONE, **_curve(json.loads((out / "log.json").read_text()))})


def _curve(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Validations as they were logged, and means of the updates between two of them."""
    lines: list[dict[str, Any]] = []
    since: list[Mapping[str, Any]] = []
    for entry in log:
        since.append(entry)
        if "eval_ndcg@10" in entry:
            line = {"step": entry["step"]}
            for name in CURVE:
                values = [one[name] for one in since if name in one]
                if values:
                    line[name] = round(sum(values) / len(values), 5)
            lines.append(line)
            since = []
    return {"updates": lines[-1]["step"] if lines else 0, "curve": lines}


def evaluate_arms(connection: Connection, out: Path, batch_size: int) -> None:
    """`metrics.json` of the last arm beside the others, with a page in `out/evaluation`."""
    from reckon.evaluation.run import evaluate
    from reckon.reports.write import write_evaluation

    began = time.monotonic()
    *others, main = ARMS
    evaluation = evaluate(out / main, beside=[out / arm for arm in others], batch_size=batch_size)
    write_evaluation(evaluation, out / "evaluation")
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    connection.send({"status": DONE, "evaluation_seconds": round(time.monotonic() - began, 1), "metrics": metrics})
