"""One cell of a comparison: one method under one seed, from its training to a folder that says all about it.

Entry points: `Cell`, which names everything the outcome follows from; `run_cell`, which trains and asks; `read_cell`
for a finished one. A cell's folder appears whole:

    cell.json   what it is, fingerprint, seconds, rates, findings; its presence says that the cell is finished
    log.json    every logged step
    run/        the run directory, of methods that have one

and the recommendations, in files of the task: `reckon.comparison.ranking.task`, `reckon.comparison.rating.task`.

While it grows, the folder's name begins with a dot; one that a kill left is gone on from, where the method can.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from reckon import __version__
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.protocol import apply_split
from reckon.comparison.registry import TASKS, contestant
from reckon.comparison.task import AnyRows, Task
from reckon.config import config_from
from reckon.data import Dataset
from reckon.errors import CheckpointError, ReckonError
from reckon.files import write_text
from reckon.metrics.measures import measure_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CELL_FILE, LOG_FILE, ERROR_FILE = "cell.json", "log.json", "error.json"
REVISION = 3  # raised when a change of the code changes what cells come out as, so that earlier ones are not kept
OnPhase = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Everything a cell's outcome follows from."""

    label: str
    """As tables call the method."""
    method: str
    """Its contestant."""
    values: Mapping[str, Any]
    """Its settings as the config, or tuning, gives them."""
    path: str
    """Where they stand in the config, for errors."""
    seed: int
    split: str
    """`test`, or `valid` for a trial of tuning."""
    limit: int | None
    """At most so many rows."""
    width: int
    """Items of each list that are kept."""
    protocol: Mapping[str, Any]
    data: str
    """The dataset directory."""
    reasoning_rows: int
    fingerprint: str
    """Of all that decides the outcome; see `fingerprint_of`."""
    folder: str
    """Where it is, once finished."""

    @property
    def name(self) -> str:
        """For a person: method, seed, and whether it is a trial."""
        return f"{self.label}, seed {self.seed}" + (", trial" if self.split == "valid" else "")

    @property
    def growing(self) -> Path:
        """The folder while it is not finished."""
        return Path(self.folder).with_name(f".{Path(self.folder).name}")

    @property
    def finished(self) -> bool:
        """Whether the cell is there, with this fingerprint."""
        try:
            return json.loads((Path(self.folder) / CELL_FILE).read_text("utf-8"))["fingerprint"] == self.fingerprint
        except (OSError, ValueError, KeyError):
            return False

    def to_json(self) -> str:
        """For a worker process."""
        return json.dumps(asdict(self))


def fingerprint_of(parts: Mapping[str, Any]) -> str:
    """sha256 of settings, seed, data, protocol, rows and Reckon's version and revision, as JSON with sorted keys."""
    code = {"reckon": __version__, "revision": REVISION}
    return hashlib.sha256(json.dumps({**parts, **code}, sort_keys=True).encode()).hexdigest()


def run_cell(cell: Cell, on_phase: OnPhase) -> None:
    """Train, ask about every row, and put the folder in place.

    Args:
        cell: what to do.
        on_phase: told what is being done, and which share of it is (0 to 1).

    Raises:
        ReckonError: whatever the method cannot do with this data or these settings.
    """
    protocol = config_from(ProtocolConfig, dict(cell.protocol), path="protocol")
    dataset = apply_split(Dataset.load(cell.data), protocol)
    method = contestant(cell.method, cell.path)
    task, settings = TASKS[method.task], method.settings_of(cell.values, cell.path)
    rows = task.rows(dataset, protocol, "test" if cell.split == "test" else "valid", cell.limit)
    folder = cell.growing
    _clear(folder)
    started = time.perf_counter()
    fitted = method.fit(
        dataset, settings, protocol, cell.seed, folder, lambda share: on_phase("training", min(1.0, share))
    )
    trained, done = time.perf_counter(), 0

    def on_batch(count: int) -> None:
        nonlocal done
        done += count
        on_phase(task.name, done / len(rows))

    recommendations = task.recommend(fitted, rows, dataset, cell.width, on_batch)
    seconds = {"training": trained - started, task.name: time.perf_counter() - trained}
    rates = {"seconds_per_user": seconds[task.name] / len(rows)} | task.rates(fitted, recommendations)
    result = task.result(cell.label, recommendations, rows, dataset, rates)
    about: dict[str, Any] = {
        **{key: value for key, value in asdict(cell).items() if key not in ("folder", "data", "path")},
        "data": dataset.checksum,
        "rows": rows.checksum,
        "reckon": __version__,
        "seconds": seconds,
        "peak_mib": _peak_mib(),
        "facts": dict(fitted.facts),
        "rates": rates,
    }
    if cell.split == "valid":
        measure = measure_of(task.selection)
        about["score"] = measure.of(measure.values(result))
    else:
        on_phase("checking", 0.0)
        findings = task.findings(method, fitted, rows, recommendations, dataset, protocol)
        about["findings"] = [finding.to_dict() for finding in findings]
        about |= task.details(fitted, rows, recommendations, cell.reasoning_rows, cell.seed)
    task.save(folder, recommendations, fitted)
    _write(cell, about, fitted.log)


def _clear(folder: Path) -> None:
    """What an interrupted cell left: its run goes on, all else is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in ("run", "output.txt"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _peak_mib() -> float | None:
    """The most memory that this process has held, in MiB; None where the system does not tell."""
    if resource is not None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
    try:
        import psutil
    except ImportError:
        return None
    peak = getattr(psutil.Process().memory_info(), "peak_wset", None)
    return None if peak is None else round(peak / (1 << 20), 1)


def _write(cell: Cell, about: Mapping[str, Any], log: Sequence[Mapping[str, float]]) -> None:
    """What every cell has, `cell.json` last; then the folder takes its name."""
    folder, final = cell.growing, Path(cell.folder)
    write_text(folder / LOG_FILE, json.dumps([dict(entry) for entry in log]))
    write_text(folder / CELL_FILE, json.dumps(about, indent=2, allow_nan=False, default=str))
    if final.exists():
        shutil.rmtree(final)  # a damaged one
    os.replace(folder, final)


@dataclass(frozen=True, slots=True)
class FinishedCell:
    """A cell that has been read."""

    about: Mapping[str, Any]
    result: Any
    """As metrics read it: a RankingResult or a RatingResult."""
    recommendations: Any
    """As the task loads them."""
    log: list[dict[str, float]]


def read_cell(cell: Cell, task: Task, rows: AnyRows, dataset: Dataset) -> FinishedCell:
    """A finished cell, as a result over the given rows.

    Raises:
        CheckpointError: a file is missing or damaged, or the cell was asked about other rows.
    """
    folder = Path(cell.folder)
    try:
        about = json.loads((folder / CELL_FILE).read_text(encoding="utf-8"))
        log = json.loads((folder / LOG_FILE).read_text(encoding="utf-8"))
        if about["rows"] != rows.checksum:
            raise CheckpointError(folder, "was asked about other rows than the rest", "remove it and compare again")
        rates = about["rates"]
        recommendations = task.load(folder, rows, wrote="parsed" in rates)
        result = task.result(cell.label, recommendations, rows, dataset, rates)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError, ReckonError) as error:
        raise CheckpointError(folder, f"is damaged ({error})", "remove it and compare again") from None
    return FinishedCell(about, result, recommendations, log)


def failure_of(cell: Cell) -> str | None:
    """What went wrong in a cell that is not finished, in one line; None where nothing was tried."""
    try:
        return str(json.loads((cell.growing / ERROR_FILE).read_text(encoding="utf-8"))["error"])
    except (OSError, ValueError, KeyError):
        return None
