"""What every benchmark needs: a clean process per side, its peak memory, and a record of where it ran.

Entry points: `start` (a function in its own process, with a pipe), `Memory` (extra peak memory of this process),
`environment` (hardware and versions, no host names or paths), `run_seeds`, `over_seeds` and `write_json`. Imports no
torch: a child process starts with its parent's peak memory on Linux, so the parent of all sides stays small.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from reckon import __version__

PACKAGES = ("torch", "transformers", "trl", "peft", "numpy")
MIB = 1 << 20


@dataclass
class Memory:
    """How far this process's peak memory rises above what it held when the object was made."""

    before: int

    @classmethod
    def now(cls) -> "Memory":
        import psutil  # comes with accelerate

        return cls(psutil.Process().memory_info().rss)

    def extra(self) -> int:
        """Bytes between the highest resident size so far and the size at the start."""
        unit = 1 if sys.platform == "darwin" else 1024
        return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.before)


def start(function: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Run `function(connection, *arguments)` in a fresh interpreter; returns the process and our end of its pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=function, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def installed(package: str) -> str | None:
    """Version of a package, or None where it is missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Hardware, versions and date; enough to read a result by, nothing that names the machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "hardware": f"{cores} CPU cores ({platform.machine()})",
        "threads": os.environ.get("OMP_NUM_THREADS", "default"),
        "load_average_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {"reckon": __version__} | {name: installed(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def over_seeds(values: list[float]) -> dict[str, float]:
    """Mean and half-width of its 95 % interval over seeds (Student's t); NaN where there is one seed."""
    from scipy.stats import t

    count = len(values)
    spread = statistics.stdev(values) if count > 1 else float("nan")
    return {"mean": statistics.fmean(values), "half_width": float(t.ppf(0.975, count - 1)) * spread / count**0.5}


def run_seeds(
    description: str,
    seed_results: Callable[[Path, int], dict[str, Any]],
    summary: Callable[[list[dict[str, Any]]], dict[str, dict[str, float]]],
) -> None:
    """The command line of a benchmark over seeds: run them, print the summary, write the JSON."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the runs go, or are")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    results = [seed_results(arguments.out, seed) for seed in arguments.seeds]
    means = summary(results)
    for name, value in means.items():
        print(f"{name:52s} {value['mean']:8.3f} ± {value['half_width']:.3f}")
    if arguments.json:
        write_json(arguments.json, {"environment": environment(), "summary": means, "seeds": results})


def write_json(path: Path, result: dict[str, Any]) -> None:
    """One result as readable JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A plain-text table; the first column is aligned left, the others right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
