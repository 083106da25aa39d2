"""One cell of a comparison: one method under one seed, from its training to a folder that says all about it.

Entry points: `Cell`, which names everything the outcome follows from; `run_cell`, which trains and ranks; `read_cell`
for a finished one. A cell's folder appears whole:

    cell.json           what it is, fingerprint, seconds, rates, findings; its presence says that the cell is finished
    ranks.safetensors   ranks [U], items [U, K], truncated [U], parsed [U], lengths [U]
    reasonings.parquet  what was written about each row, of methods that reason
    log.json            every logged step
    run/                the run directory, of methods that have one

While it grows, the folder's name begins with a dot; one that a kill left is gone on from, where the method can.
"""

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from reckon import __version__
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.contestants import Fitted, contestant
from reckon.comparison.guards import cell_findings
from reckon.comparison.protocol import Rows, apply_split, rank_rows, rows_of
from reckon.config import config_from
from reckon.data import Dataset
from reckon.errors import CheckpointError
from reckon.evaluation.reasoning import reasoning_effect
from reckon.files import write_text
from reckon.metrics import RankingResult, ndcg_at
from reckon.models.recommender import RankedExamples

CELL_FILE, RANKS_FILE, LOG_FILE, ERROR_FILE = "cell.json", "ranks.safetensors", "log.json", "error.json"
REASONINGS_FILE = "reasonings.parquet"
SELECTION_METRIC = "ndcg@10"  # of validation rows: what tuning keeps
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
    """sha256 of settings, seed, data checksum, protocol, rows and Reckon's version, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps({**parts, "reckon": __version__}, sort_keys=True).encode()).hexdigest()


def run_cell(cell: Cell, on_phase: OnPhase) -> None:
    """Train, rank, and put the folder in place.

    Args:
        cell: what to do.
        on_phase: told what is being done, and which share of it is (0 to 1).

    Raises:
        ReckonError: whatever the method cannot do with this data or these settings.
    """
    protocol = config_from(ProtocolConfig, dict(cell.protocol), path="protocol")
    dataset = apply_split(Dataset.load(cell.data), protocol)
    rows = rows_of(dataset, protocol, "test" if cell.split == "test" else "valid", cell.limit)
    method = contestant(cell.method, cell.path)
    settings = method.settings_of(cell.values, cell.path)
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
        on_phase("ranking", done / len(rows))

    ranked = rank_rows(fitted.ranker, rows, fitted.window, cell.width, len(dataset.catalog), on_batch)
    seconds = {"training": trained - started, "ranking": time.perf_counter() - trained}
    about: dict[str, Any] = {
        **{key: value for key, value in asdict(cell).items() if key not in ("folder", "data", "path")},
        "data": dataset.checksum,
        "rows": rows.checksum,
        "reckon": __version__,
        "seconds": seconds,
        "peak_mib": _peak_mib(),
        "facts": dict(fitted.facts),
        "rates": _rates(fitted, ranked, seconds["ranking"] / len(rows)),
    }
    if cell.split == "valid":
        about["score"] = ndcg_at(_result(cell.label, ranked, rows, len(dataset.catalog)), 10)
    else:
        on_phase("checking", 0.0)
        about["findings"] = cell_findings(method, fitted, rows, ranked, dataset, protocol)
        about["reasoning"] = _reasoning(fitted, rows, cell)
    _write(cell, about, ranked, fitted)


def _clear(folder: Path) -> None:
    """What an interrupted cell left: its run goes on, all else is made again."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in ("run", "output.txt"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _rates(fitted: Fitted, ranked: RankedExamples, seconds_per_user: float) -> dict[str, float]:
    rates = {"seconds_per_user": seconds_per_user}
    if fitted.model is not None and fitted.model.reasons:
        rates |= {
            "truncated": float(ranked.truncated.mean()),
            "parsed": float(ranked.parsed.mean()),
            "reply_length": float(ranked.lengths.mean()),
        }
    return rates


def _reasoning(fitted: Fitted, rows: Rows, cell: Cell) -> dict[str, Any] | None:
    if fitted.model is None or not fitted.model.reasons or cell.reasoning_rows == 0:
        return None
    if rows.negatives is not None:
        return None  # the arms are ranked over the whole catalog, which would stand beside sampled numbers
    examples = rows.within(fitted.window).sample(cell.reasoning_rows, cell.seed)
    return reasoning_effect(fitted.model, examples, seed=cell.seed)


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)


def _result(name: str, ranked: RankedExamples, rows: Rows, catalog_size: int) -> RankingResult:
    return RankingResult(name, ranked.ranks, catalog_size, ranked.items, rows.examples.user_ids)


def _write(cell: Cell, about: dict[str, Any], ranked: RankedExamples, fitted: Fitted) -> None:
    """All files, `cell.json` last; then the folder takes its name."""
    folder, final = cell.growing, Path(cell.folder)
    arrays = {name: getattr(ranked, name) for name in ("ranks", "items", "lengths")}
    flags = {name: getattr(ranked, name).astype(np.uint8) for name in ("truncated", "parsed")}
    save_file({name: np.ascontiguousarray(array) for name, array in (arrays | flags).items()}, folder / RANKS_FILE)
    if fitted.model is not None and fitted.model.reasons:
        pq.write_table(pa.table({"reasoning": ranked.reasonings}), folder / REASONINGS_FILE, compression="zstd")
    write_text(folder / LOG_FILE, json.dumps([dict(entry) for entry in fitted.log]))
    write_text(folder / CELL_FILE, json.dumps(about, indent=2, allow_nan=False, default=str))
    if final.exists():
        shutil.rmtree(final)  # a damaged one
    os.replace(folder, final)


@dataclass(frozen=True, slots=True)
class FinishedCell:
    """A cell that has been read."""

    about: Mapping[str, Any]
    result: RankingResult
    ranked: RankedExamples
    log: list[dict[str, float]]


def read_cell(cell: Cell, rows: Rows, catalog_size: int) -> FinishedCell:
    """A finished cell, as a result over the given rows.

    Raises:
        CheckpointError: a file is missing or damaged, or the cell was ranked on other rows.
    """
    folder = Path(cell.folder)
    try:
        about = json.loads((folder / CELL_FILE).read_text(encoding="utf-8"))
        log = json.loads((folder / LOG_FILE).read_text(encoding="utf-8"))
        arrays = load_file(folder / RANKS_FILE)
        if about["rows"] != rows.checksum:
            raise CheckpointError(folder, "was ranked on other rows than the rest", "remove it and compare again")
        written = [""] * len(rows)
        if (folder / REASONINGS_FILE).exists():
            written = pq.read_table(folder / REASONINGS_FILE)["reasoning"].to_pylist()
        ranked = RankedExamples(
            arrays["ranks"],
            arrays["items"],
            arrays["truncated"].astype(bool),
            arrays["parsed"].astype(bool),
            arrays["lengths"],
            written,
        )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CheckpointError(folder, f"is damaged ({error})", "remove it and compare again") from None
    result = RankingResult(cell.label, ranked.ranks, catalog_size, ranked.items, rows.examples.user_ids, about["rates"])
    return FinishedCell(about, result, ranked, log)


def failure_of(cell: Cell) -> str | None:
    """What went wrong in a cell that is not finished, in one line; None where nothing was tried."""
    try:
        return str(json.loads((cell.growing / ERROR_FILE).read_text(encoding="utf-8"))["error"])
    except (OSError, ValueError, KeyError):
        return None
