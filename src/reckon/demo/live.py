"""What a person sees of a demo while it runs, and the directory it writes.

Entry points: `Stage` for the demo, and `join_trajectories`.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from transformers.utils import logging

from reckon.errors import DataError
from reckon.files import whole_file
from reckon.locks import LOCK_NAME
from reckon.reports.grid import Grid


class Stage:
    """A demo's directory, what it prints, and how long it has taken."""

    def __init__(self, out: str | Path, parts: set[str]) -> None:
        """Make room for the parts in a directory that is new, empty, or an earlier demo's."""
        self.out, self._console, self.started = Path(out), Console(stderr=True), time.perf_counter()
        make_room(self.out, parts)
        logging.disable_progress_bar()  # several small models: one bar per step of the demo is enough

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.perf_counter() - self.started

    @contextmanager
    def step(self, words: str) -> Iterator[None]:
        """Say what begins, and how long it took."""
        before = self.seconds
        self._console.print(words)
        yield
        self._console.print(f"  {self.seconds - before:.0f} s", style="dim")

    def show(self, tables: Sequence[Grid]) -> None:
        """The last word: every table, and the seconds."""
        for table in tables:
            self._console.print(table.to_rich())
        self._console.print(f"{self.seconds:.0f} seconds")


def make_room(out: Path, parts: set[str]) -> None:
    """An earlier demo, which consists of these parts, is replaced; anything else is not touched."""
    if out.exists():
        strangers = sorted(path.name for path in out.iterdir() if path.name not in parts and not path.match(LOCK_NAME))
        if strangers:
            raise DataError(
                str(out), f"holds files that are not a demo's ({strangers[0]})", "choose a new directory with --out"
            )
        for path in out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    out.mkdir(parents=True, exist_ok=True)


def join_trajectories(parts: Path, out: Path) -> None:
    """One Parquet file of every trajectory the policy was trained on."""
    table = pq.ParquetDataset(sorted(parts.glob("part-*.parquet"))).read()
    with whole_file(out) as part:
        pq.write_table(table, part, compression="zstd")
