"""The run directory: what a finished or interrupted training leaves behind.

    config.yaml            the resolved config
    checkpoint-N/          whole checkpoints (weights, optimiser, item table, trainer state)
    model/, item_table.safetensors, items.parquet, r2ec.json    the best model, for `from_pretrained`
    manifest.json          versions, seed, dataset checksum, hardware, seconds
    log.json               every logged step and validation
    trajectories/          Parquet parts: prompt's user, reply, reward, rank, finish reason of every trajectory

Entry points: `starting_point`, `TrajectoryLog`, `write_run`.
"""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from reckon.data import Dataset, Example
from reckon.errors import CheckpointError
from reckon.files import write_text
from reckon.rl.checkpoints import last_checkpoint
from reckon.rollout import Rollouts

if TYPE_CHECKING:
    from reckon.methods.r2ec import R2ec

FLUSH_ROWS = 50_000  # trajectories held in memory before a part is written


class Interrupted(KeyboardInterrupt):
    """Training was stopped by Ctrl-C after its state was saved."""

    def __init__(self, out: Path) -> None:
        self.out = out
        super().__init__(f"saved to {out}; go on with --resume")


def starting_point(out: Path, resume: bool) -> Path | None:
    """The checkpoint to start from, or None for a fresh start in an empty directory.

    Raises:
        CheckpointError: `resume` without a checkpoint, or a fresh start where a run already is.
    """
    checkpoint = last_checkpoint(out)
    if resume:
        if checkpoint is None:
            raise CheckpointError(out, "holds no whole checkpoint to resume", "start it without --resume")
        return checkpoint
    if checkpoint is not None or (out / "r2ec.json").exists():
        raise CheckpointError(out, "already holds a run", "continue it with --resume, or choose another directory")
    out.mkdir(parents=True, exist_ok=True)
    return None


class TrajectoryLog:
    """Every sampled trajectory, as Parquet parts named by the step they were flushed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, list[Any]] = {}

    def add(
        self,
        step: int,
        examples: Sequence[Example],
        texts: Sequence[str],
        rewards: Sequence[float],
        ranks: Sequence[int],
        rollouts: Rollouts,
    ) -> None:
        """One step's N trajectories."""
        count = len(texts)
        rows: dict[str, list[Any]] = {
            "step": [step] * count,
            "user_id": [example.user_id for example in examples],
            "target": [example.target for example in examples],
            "reasoning": list(texts),
            "reward": list(rewards),
            "target_rank": list(ranks),
            "reply_length": rollouts.sampled.sum(dim=1).tolist(),
            "finish": list(rollouts.finish),
        }
        for name, values in rows.items():
            self._columns.setdefault(name, []).extend(values)
        if len(self._columns["step"]) >= FLUSH_ROWS:
            self.flush(step)

    def flush(self, step: int) -> None:
        """Write what is held as one part."""
        if not self._columns:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".part-{step:07d}"
        pq.write_table(pa.table(self._columns), part, compression="zstd")
        os.replace(part, self.folder / f"part-{step:07d}.parquet")
        self._columns = {}


def write_run(out: Path, recommender: "R2ec", dataset: Dataset, log: list[dict[str, Any]], seconds: float) -> None:
    """Write `log.json` and `manifest.json`."""
    config = recommender.config
    manifest = {
        "method": "r2ec",
        "arm": config.arm,
        "seed": config.seed,
        "data": {"source": dataset.info["source"].get("name"), "checksum": dataset.checksum, "split": dataset.protocol},
        "training_seconds": round(seconds, 1),
        "parameters": sum(p.numel() for p in recommender.backbone.model.parameters()),
        "trainable_parameters": sum(p.numel() for p in recommender.backbone.model.parameters() if p.requires_grad),
        "versions": {name: version(name) for name in ("torch", "transformers", "accelerate", "peft", "safetensors")},
        "python": platform.python_version(),
        "hardware": hardware(),
    }
    write_json(out / "log.json", log)
    write_json(out / "manifest.json", manifest)


def hardware() -> str:
    """The device models run on, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2))
