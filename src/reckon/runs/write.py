"""The run directory: what a finished or interrupted training leaves behind.

    config.yaml            the resolved config
    begun.json             data, split, dtype and backbone, which a resumed run may not change
    checkpoint-N/          whole checkpoints (weights, optimiser, item table, trainer state)
    model/, METHOD.json    the best model, for `from_pretrained`; R2ec adds item_table.safetensors and items.parquet
    manifest.json          versions, seed, dataset checksum, hardware, seconds, which state was kept
    checksums.json         of all these files, as `reckon.checksums` checks them; written last
    log.json               every logged step and validation, and which of them was kept
    trajectories/          Parquet parts: user, reply, reward and finish reason of every trajectory
    replies.sqlite         RPORec's Stage I: what was written about each training row

Entry points: `starting_point`, `TrajectoryLog`, `write_run`. A finished run is read by `finished_run`.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from reckon import __version__
from reckon.checksums import CHECKSUMS_FILE, add_checksums, write_checksums
from reckon.data import Dataset
from reckon.errors import CheckpointError
from reckon.files import whole_file, write_text
from reckon.json_file import Each, Maybe, read_json
from reckon.locks import LOCK_NAME
from reckon.models.backbone import Backbone
from reckon.rollout import Rollouts
from reckon.runs.read import LOG_FILE, MANIFEST_FILE
from reckon.training.best import Kept
from reckon.training.checkpoints import checkpoint_to_resume, last_checkpoint
from reckon.training.one_process import require_one_process

BEGUN_FILE = "begun.json"
CHANGES = "changed_by_resumes"  # entry of begun.json and manifest.json: settings with both values, a list per resume
LIBRARIES = ("torch", "transformers", "accelerate", "peft", "safetensors")  # whose versions a manifest keeps
FLUSH_ROWS = 50_000  # trajectories held in memory before a part is written


def starting_point(out: Path, resume: bool, identity: Mapping[str, str]) -> Path | None:
    """The checkpoint to start from, or None for a fresh start in an empty directory.

    Args:
        out: run directory.
        resume: whether to go on.
        identity: what a run may not change, `Dataset.identity` and `Backbone.identity`; kept in `begun.json`.

    Raises:
        ConfigError: several processes were launched.
        CheckpointError: `resume` without a checkpoint or with another identity, or a fresh start where anything is.
    """
    require_one_process()
    if resume:
        if last_checkpoint(out) is None:
            raise CheckpointError(out, "holds no whole checkpoint to resume", "start it without --resume")
        refuse_other(out, identity)
        checkpoint = checkpoint_to_resume(out)
        assert checkpoint is not None
        _drop_parts(out / "trajectories", after=int(checkpoint.name.rpartition("-")[2]))
        return checkpoint
    if last_checkpoint(out) is not None or (out / MANIFEST_FILE).exists():
        raise CheckpointError(out, "already holds a run", "continue it with --resume, or choose another directory")
    found = [] if (out / BEGUN_FILE).exists() or not out.is_dir() else out.iterdir()  # an unfinished run begins anew
    strangers = sorted(path.name for path in found if not path.match(LOCK_NAME))
    if strangers:
        raise CheckpointError(out, f"holds files that are not a run's ({strangers[0]})", "choose another directory")
    _drop_parts(out / "trajectories", after=-1)
    write_json(out / BEGUN_FILE, dict(identity))
    return None


def begun_of(out: Path) -> dict[str, Any]:
    """What `begun.json` holds. Raises CheckpointError where it is missing or damaged."""
    shape = {CHANGES: Maybe([Each(list)])}
    begun: dict[str, Any] = read_json(out / BEGUN_FILE, shape, fix="start again in another directory")
    return begun


def _drop_parts(trajectories: Path, after: int) -> None:
    """Remove trajectories after a step, which a kill has left behind its last checkpoint; they come again."""
    for part in trajectories.glob("part-*.parquet"):
        if int(part.stem.partition("-")[2]) > after:
            part.unlink()


def refuse_other(out: Path, identity: Mapping[str, str]) -> None:
    """Refuse to go on with a run that was begun with another identity, as `starting_point` keeps it."""
    begun = begun_of(out)
    for name, value in identity.items():
        if name not in begun:
            fix = (
                f'start again in another directory, or, if you know that it was {value}, add "{name}": "{value}" to it'
            )
            raise CheckpointError(out / BEGUN_FILE, f"does not say with which {name} the run was begun", fix)
        if begun.get(name) != value:
            raise CheckpointError(
                out,
                f"was begun with another {name} ({begun.get(name)}, now {value})",
                f"resume it with the same {name}",
            )


def record_changes(out: Path, changed: Mapping[str, tuple[Any, Any]]) -> None:
    """Keep in `begun.json` which settings a resume changed, from what to what; the manifest repeats it."""
    begun = out / BEGUN_FILE
    if changed and begun.exists():
        about = begun_of(out)
        about[CHANGES] = [*about.get(CHANGES, []), {name: list(both) for name, both in changed.items()}]
        write_json(begun, about)


class TrajectoryLog:
    """Every sampled trajectory, as Parquet parts named by the step they were flushed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._columns: dict[str, list[Any]] = {}

    def add(self, step: int, rollouts: Rollouts, **columns: Sequence[Any]) -> None:
        """One step's N trajectories: what the method knows of each, beside how long it was and why it ended."""
        rows: dict[str, Sequence[Any]] = {
            "step": [step] * len(rollouts),
            **columns,
            "reply_length": rollouts.sampled.sum(dim=1).tolist(),
            "finish": rollouts.finish,
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
        with whole_file(self.folder / f"part-{step:07d}.parquet") as part:
            pq.write_table(pa.table(self._columns), part, compression="zstd")
        self._columns = {}


def write_run(
    out: Path,
    method: str,
    config: Any,
    backbone: Backbone,
    dataset: Dataset,
    log: list[dict[str, Any]],
    seconds: float,
    *,
    metric: str,
    greater_is_better: bool = True,
    stage: str | None = None,
) -> None:
    """Write `log.json`, `manifest.json`, and their checksums beside those of the model.

    Args:
        config: has a seed and an arm.
        log: every logged step and validation, that of the start included; the last entry will say what was kept.
        seconds: of training.
        metric: of the validations, by which one state was kept.
        greater_is_better: of the metric.
        stage: tells apart what ends in a run.
    """
    log = [entry for entry in log if "kept_step" not in entry]  # that of a stage has said what the stage kept
    kept = Kept.of_log(log, metric, greater_is_better=greater_is_better)
    parameters = list(backbone.model.parameters())
    manifest = {
        "method": method,
        "arm": config.arm,
        "seed": config.seed,
        "data": {"source": dataset.info["source"].get("name"), "checksum": dataset.checksum, "split": dataset.protocol},
        "training_seconds": round(seconds, 1),  # since the last resume
        "kept": asdict(kept) | {"improved": kept.step > 0},
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
        "backbone": backbone.name,
        "dtype": backbone.dtype,
        "reckon": __version__,
        "versions": _versions(),
        "python": platform.python_version(),
        "hardware": hardware(),
        "checksums": CHECKSUMS_FILE,
    }
    if (out / BEGUN_FILE).exists():
        changes = begun_of(out).get(CHANGES)
        manifest |= {CHANGES: changes} if changes else {}
    if stage is not None:
        manifest["stage"] = stage
    write_json(out / LOG_FILE, [*log, {"step": log[-1]["step"], "kept_step": kept.step, "outcome": kept.words}])
    write_json(out / MANIFEST_FILE, manifest)
    if (out / "trajectories").is_dir():
        write_checksums(out / "trajectories")
    add_checksums(out, [LOG_FILE, MANIFEST_FILE, *(path.name for path in out.glob("*.yaml"))])


@cache
def _versions() -> dict[str, str]:
    """Versions of LIBRARIES. Reading them takes 0.05 s, and a process may write many runs."""
    return {name: version(name) for name in LIBRARIES}


def hardware() -> str:
    """The device models run on, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2))
