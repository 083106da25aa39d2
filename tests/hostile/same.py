"""What a command leaves in its folder, without what differs by nature: times, memory, and paths of the call.

Entry points: `contents` to compare two folders, `leftovers` for what should not be there.
"""

import json
import re
import sqlite3
from pathlib import Path

from reckon.checksums import CHECKSUMS_FILE

TIMES = re.compile(r"time/.*|(.*_)?seconds(_.*)?|.*_(runtime|per_second)|peak_mib|total_flos")
PATHS = {"best_model_checkpoint", "path", "data_path", "output_dir", "backbone"}  # as the call named them
TIMED = re.compile(r"seconds|\bms per", re.IGNORECASE)
DRAWN = re.compile(r"<svg.*?</svg>|\d[\d.,]*(e[-+]?\d+)?", re.DOTALL)  # their numbers are those of metrics.json
NOT_COMPARED = {"training_args.bin", "output.txt"}  # paths of the call, pickled; progress of a cell, with times
UPWARDS = re.compile(r"(\.\./)+")
HALF = re.compile(r"\..+\.[a-z0-9_]{8}\.(part|partial|work|old)|\..+\.lock|\.saving")


def contents(out):
    """Every file by its path below `out`, as something that can be compared."""
    out = Path(out)
    if out.is_file():
        return {"": _content(out)}
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not _is_of_an_older_checkpoint(path, out) and path.name not in NOT_COMPARED:
            found[name] = None if "trajectories/" in name else _content(path)
    for folder in sorted(out.rglob("trajectories")):
        name = folder.relative_to(out).as_posix()
        found = {key: value for key, value in found.items() if not key.startswith(f"{name}/")}
        found[name] = _rows(sorted(folder.glob("part-*.parquet")))
    return found


def difference(left, right):
    """The first difference of two contents in words; empty where they are the same."""
    if left.keys() != right.keys():
        return f"files: {sorted(left.keys() ^ right.keys())[:6]}"
    for name in left:
        if not _equal(left[name], right[name]):
            return f"{name}: {_where(left[name], right[name])}"
    return ""


def leftovers(folder):
    """Names of temporary files and folders anywhere below a folder."""
    found = [path for path in Path(folder).rglob("*") if HALF.fullmatch(path.name)]
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _is_of_an_older_checkpoint(path, out):
    """Which older checkpoints are kept depends on where a run was stopped; the newest does not."""
    for parent in path.relative_to(out).parents:
        if match := re.fullmatch(r"checkpoint-(\d+)", parent.name):
            numbers = [int(one.name.partition("-")[2]) for one in (out / parent).parent.glob("checkpoint-*")]
            return int(match[1]) < max(numbers)
    return False


def _content(path):
    if path.name == CHECKSUMS_FILE:  # of files that hold times, too; parts of trajectories end at other steps
        names = json.loads(path.read_text())["files"]
        return sorted({name.partition("trajectories/part-")[0] or "trajectories" for name in names})
    match path.suffix:
        case ".json":
            return _plain(json.loads(path.read_text()))
        case ".jsonl":
            return sorted(json.dumps(_plain(json.loads(line)), sort_keys=True) for line in path.open())
        case ".parquet":
            return _rows([path])
        case ".pt" | ".pth" | ".bin":
            import torch
            from transformers.trainer import safe_globals

            with safe_globals():  # states of NumPy's generator, as the trainer itself reads them
                return torch.load(path, weights_only=True)
        case ".sqlite":
            return _tables(path)
        case ".html" | ".md" | ".csv" | ".tex":
            text = UPWARDS.sub("", path.read_text())
            return DRAWN.sub("#", text) if TIMED.search(text) else text
    return path.read_bytes()


def _plain(value):
    if isinstance(value, dict):
        return {
            key: Path(one).name if key in PATHS and isinstance(one, str) else _plain(one)
            for key, one in value.items()
            if not TIMES.fullmatch(key)
        }
    if isinstance(value, list):
        return [_plain(one) for one in value if not (isinstance(one, dict) and "train_runtime" in one)]
    return value


def _rows(paths):
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not paths:
        return {}
    table = pa.concat_tables([pq.read_table(path) for path in paths])
    return {name: [repr(value) for value in column] for name, column in table.to_pydict().items()}


def _tables(path):
    with sqlite3.connect(path) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(database.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in sorted(names)}


def _equal(left, right):
    import numpy as np
    import torch

    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f")
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_equal, left, right))
    return left == right or (left != left and right != right)


def _where(left, right):
    """The innermost place where two values differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            return f"keys {sorted(map(str, left.keys() ^ right.keys()))[:6]}"
        key = next(key for key in left if not _equal(left[key], right[key]))
        return f"{key}: {_where(left[key], right[key])}"
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            return f"{len(left)} and {len(right)} entries"
        place = next(place for place in range(len(left)) if not _equal(left[place], right[place]))
        return f"[{place}]: {_where(left[place], right[place])}"
    if isinstance(left, str) and isinstance(right, str):
        place = next(
            (n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right))
        )
        return f"at {place}: {left[max(0, place - 40) : place + 60]!r} and {right[max(0, place - 40) : place + 60]!r}"
    return f"{str(left)[:120]} and {str(right)[:120]}"
