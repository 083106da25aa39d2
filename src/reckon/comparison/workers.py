"""Run cells in parallel, each in its own process.

Entry point: `run_cells`. Finished cells are skipped. A failed cell leaves its error in its folder, and the other cells
continue. Ctrl-C or a kill ends the running processes and keeps all finished cells.

Processes are forked from a server that has imported PyTorch and started no threads; on systems without fork servers
each process starts anew. Their temporary files lie in a folder of the comparison, so a kill leaves none for ever.
"""

import json
import multiprocessing
import multiprocessing.util
import os
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from reckon.comparison.cells import ERROR_FILE, Cell, failure_of, run_cell
from reckon.errors import ReckonError
from reckon.files import write_text
from reckon.locks import scratch_of
from reckon.progress import Phase, phase, standard_error

OUTPUT_FILE = "output.txt"
GRACE = 5.0  # seconds; a library may not look up for longer
Runner = Callable[[Sequence[Cell], int], None]


def run_cells(cells: Sequence[Cell], workers: int) -> None:
    """Run every cell that is not finished.

    Args:
        cells: cells in starting order.
        workers: most processes at the same time.

    Raises:
        KeyboardInterrupt: after the running processes have ended.
    """
    cells = _one_of_each(cells)
    waiting = [cell for cell in cells if not cell.finished]
    if not waiting:
        return
    _take_scratch(cells[0].comparison)
    context = _context()
    running: dict[int, _Running] = {}
    with _Lines.shown(len(cells), len(cells) - len(waiting)) as lines:
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    started = _Running(context, waiting.pop(0), lines)
                    running[started.process.sentinel] = started
                listening = {one.connection: one for one in running.values() if not one.silent}
                for ready in wait([*listening, *running], timeout=1.0):
                    if isinstance(ready, int):
                        running.pop(ready).ended(lines)
                    elif ready in listening:
                        listening[ready].hear(lines)
        finally:
            for one in running.values():
                one.process.terminate()
            for one in running.values():
                one.stop()


class _Running:
    """A cell that runs in a process."""

    def __init__(self, context: Any, cell: Cell, lines: "_Lines") -> None:
        self.cell, self.silent = cell, False
        (cell.growing / ERROR_FILE).unlink(missing_ok=True)  # error of an earlier attempt
        self.connection, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(cell.to_json(), theirs), daemon=True)
        self.process.start()
        theirs.close()
        lines.move(cell, "starting")

    def hear(self, lines: "_Lines") -> None:
        """Read progress messages of the process."""
        try:
            step, share = json.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            self.silent = True
            return
        lines.move(self.cell, f"{step} {share:.0%}")

    def ended(self, lines: "_Lines") -> None:
        """Report the end of the process; a process that died without an error of its own gets one."""
        self.process.join()
        self.connection.close()
        if not self.cell.finished and failure_of(self.cell) is None:
            code = self.process.exitcode
            reason = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
            report_failure(self.cell, f"the process ended with {reason}, perhaps for lack of memory", "")
        lines.end(self.cell)

    def stop(self) -> None:
        """Wait until the process, which was asked to end, has cleaned up, and end it if it does not; its saved state
        stays."""
        self.process.join(GRACE)
        self.process.kill()
        self.process.join()
        self.connection.close()


def work(spec: str, connection: Connection) -> None:
    """Main function of a process: run one cell and redirect its output to a file in the cell's folder."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process after it has stopped starting others
    signal.signal(signal.SIGTERM, _end)
    end_with_parent()
    tempfile.tempdir = multiprocessing.util.get_temp_dir()  # that of the parent, which removes it
    cell = Cell(**json.loads(spec))
    cell.growing.mkdir(parents=True, exist_ok=True)
    _redirect(cell)
    _one_thread()

    def on_phase(phase: str, share: float) -> None:
        connection.send_bytes(json.dumps([phase, share]).encode())

    run_here(cell, on_phase)
    connection.close()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End this process as an error would, so that its lock and what it was writing go."""
    raise SystemExit(128 + number)


def end_with_parent() -> None:
    """End this process when its parent is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    if parent is not None:
        threading.Thread(target=watch, daemon=True).start()


def run_here(cell: Cell, on_phase: Callable[[str, float], None] = lambda phase, share: None) -> None:
    """Run a cell in this process; every error becomes the cell's error."""
    try:
        run_cell(cell, on_phase)
    except ReckonError as error:
        report_failure(cell, " ".join(str(error).split()), traceback.format_exc())
    except Exception as error:
        report_failure(cell, f"{type(error).__name__}: {' '.join(str(error).split())}", traceback.format_exc())


def report_failure(cell: Cell, error: str, trace: str) -> None:
    """Write an error into the folder of an unfinished cell."""
    cell.growing.mkdir(parents=True, exist_ok=True)
    write_text(cell.growing / ERROR_FILE, json.dumps({"error": error, "traceback": trace}, indent=2))


def _one_of_each(cells: Sequence[Cell]) -> list[Cell]:
    """The first cell of each folder: trials that differ by a setting's default alone are one cell."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(cell.folder, cell)
    return list(found.values())


def _take_scratch(comparison: Path) -> None:
    """Give the sockets of the fork server, and the temporary files of the processes, a folder of the comparison."""
    about = multiprocessing.current_process()._config  # type: ignore[attr-defined]  # as multiprocessing itself keeps it
    if about.get("tempdir") is None:
        about["tempdir"] = str(scratch_of(comparison))
        # Like multiprocessing's own folder, after the end of the fork server's clients.
        multiprocessing.util.Finalize(
            None, shutil.rmtree, args=(about["tempdir"],), kwargs={"ignore_errors": True}, exitpriority=-100
        )


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _redirect(cell: Cell) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(cell.growing / OUTPUT_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)


def _one_thread() -> None:
    import torch
    from threadpoolctl import threadpool_limits  # a dependency of scikit-learn

    torch.set_num_threads(1)
    threadpool_limits(1)


class _Lines:
    """Progress of the cells: done and total, phase of each running cell; without a terminal, one line per finished
    cell."""

    def __init__(self, running: Phase) -> None:
        self.console, self.running = standard_error(), running
        self._steps: dict[Path, str] = {}  # by the folder: trials of one method have one name

    @classmethod
    @contextmanager
    def shown(cls, total: int, done: int) -> "Iterator[_Lines]":
        """Progress of `total` cells, `done` of which are finished."""
        with phase("cells", total=total) as running:
            running.advance(done)
            yield cls(running)

    def move(self, cell: Cell, step: str) -> None:
        self._steps[cell.growing] = f"{cell.name}: {step}"
        self._tell()

    def end(self, cell: Cell) -> None:
        self._steps.pop(cell.growing)
        self.running.advance(1)
        self._tell()
        failed = not cell.finished
        word = f"failed: {failure_of(cell) or 'without an error message'}" if failed else "done"
        if failed or not self.console.is_terminal:
            done, total = int(self.running.done), int(self.running.total or 0)
            self.console.print(f"{done} of {total}  {cell.name}  {word}", highlight=False, markup=False)

    def _tell(self) -> None:
        self.running.note = "\n".join(self._steps.values())
