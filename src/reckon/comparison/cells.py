"""One cell of a comparison: one method trained with one seed, and the folder of its outcome.

Entry points: `Cell` holds all inputs of the outcome, `run_cell` trains and ranks (or rates) the rows, `read_cell` reads
a finished cell. The folder of a finished cell holds

    cell.json   settings, fingerprint, seconds, rates, findings; present only when the cell is finished
    log.json    every logged step
    run/        the run directory, for methods that have one

and the recommendations, in files that the task defines: `reckon.comparison.ranking.task`,
`reckon.comparison.rating.task`.

The name of an unfinished cell's folder begins with a dot. After a kill the cell continues there if its method can
resume.
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
from reckon.json_file import read_json
from reckon.metrics.measures import measure_of

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CELL_FILE, LOG_FILE, ERROR_FILE = "cell.json", "log.json", "error.json"
REVISION = 3  # raised by one when a change of the code changes outcomes, so that earlier cells are trained again
OnPhase = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """All inputs that a cell's outcome depends on."""

    label: str
    """Name of the method in tables."""
    method: str
    """Its contestant."""
    values: Mapping[str, Any]
    """The method's settings, from the config or from tuning."""
    path: str
    """Path of the settings in the config, for errors."""
    seed: int
    split: str
    """`test`, or `valid` for a trial of tuning."""
    limit: int | None
    """Most rows; None: all."""
    width: int
    """Kept length of each recommended list."""
    protocol: Mapping[str, Any]
    data: str
    """The dataset directory."""
    reasoning_rows: int
    fingerprint: str
    """Digest of all inputs; see `fingerprint_of`."""
    folder: str
    """Folder of the finished cell."""

    @property
    def name(self) -> str:
        """Name for people: method, seed, and whether the cell is a trial of tuning."""
        return f"{self.label}, seed {self.seed}" + (", trial" if self.split == "valid" else "")

    @property
    def comparison(self) -> Path:
        """Folder of the comparison."""
        return Path(self.folder).parents[2]

    @property
    def growing(self) -> Path:
        """Folder of the unfinished cell."""
        return Path(self.folder).with_name(f".{Path(self.folder).name}")

    @property
    def finished(self) -> bool:
        """Whether a finished cell with this fingerprint exists."""
        try:
            about = read_json(Path(self.folder) / CELL_FILE, {"fingerprint": str})
        except CheckpointError:
            return False
        return bool(about["fingerprint"] == self.fingerprint)

    def to_json(self) -> str:
        """The cell as JSON, for a worker process."""
        return json.dumps(asdict(self))


def fingerprint_of(parts: Mapping[str, Any]) -> str:
    """sha256 of `parts` (settings, seed, data, protocol, rows, versions) as JSON with sorted keys."""
    code = {"reckon": __version__, "revision": REVISION}
    return hashlib.sha256(json.dumps({**parts, **code}, sort_keys=True).encode()).hexdigest()


def run_cell(cell: Cell, on_phase: OnPhase) -> None:
    """Train a cell, rank or rate every row, and write its folder.

    Args:
        cell: the inputs.
        on_phase: called with the name of the present phase and the share of it that is done, 0 to 1.

    Raises:
        ReckonError: the method does not accept this data or these settings.
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
    """Remove what an interrupted cell left, except its run, which continues."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in ("run", "output.txt"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _peak_mib() -> float | None:
    """Peak memory of this process in MiB; None where the system does not report it."""
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
    """Write the files of every cell, `cell.json` last, and rename the folder."""
    folder, final = cell.growing, Path(cell.folder)
    write_text(folder / LOG_FILE, json.dumps([dict(entry) for entry in log]))
    write_text(folder / CELL_FILE, json.dumps(about, indent=2, allow_nan=False, default=str))
    if final.exists():
        shutil.rmtree(final)  # a damaged cell
    os.replace(folder, final)


@dataclass(frozen=True, slots=True)
class FinishedCell:
    """A finished cell, read from its folder."""

    about: Mapping[str, Any]
    result: Any
    """A RankingResult or a RatingResult."""
    recommendations: Any
    """Recommendations as `Task.load` returns them."""
    log: list[dict[str, float]]


def read_cell(cell: Cell, task: Task, rows: AnyRows, dataset: Dataset) -> FinishedCell:
    """Read a finished cell as a result over the given rows.

    Raises:
        CheckpointError: a file is missing or damaged, or the cell holds other rows.
    """
    folder = Path(cell.folder)
    try:
        again = "remove the cell's folder and compare again"
        about = read_json(folder / CELL_FILE, {"rows": str, "rates": dict}, fix=again)
        log = read_json(folder / LOG_FILE, [dict], fix=again)
        if about["rows"] != rows.checksum:
            raise CheckpointError(folder, "holds other rows than this comparison", "remove it and compare again")
        rates = about["rates"]
        recommendations = task.load(folder, rows, wrote="parsed" in rates)
        result = task.result(cell.label, recommendations, rows, dataset, rates)
    except CheckpointError:
        raise
    except (OSError, ValueError, KeyError, SafetensorError, ReckonError) as error:
        raise CheckpointError(folder, f"is damaged ({error})", "remove it and compare again") from None
    return FinishedCell(about, result, recommendations, log)


def failure_of(cell: Cell) -> str | None:
    """Error of an unfinished cell in one line; None where the cell was not run."""
    try:
        return str(read_json(cell.growing / ERROR_FILE, {"error": str})["error"])
    except CheckpointError:
        return None
