"""Run many cases in child processes, which are ended where they do not answer in time.

Entry points: `in_children`, and `call`, which runs `reckon` inside a process.
"""

import contextlib
import functools
import multiprocessing
import queue
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, TextIO

from hostile.outcome import Outcome

IMPORTS = 240.0  # further seconds that the first case of a process may take on a busy machine


def in_children(runs: Sequence[Callable[[int], Outcome]], count: int, limit: float) -> Iterator[Outcome]:
    """What became of each case, in no order.

    Args:
        runs: for every child a function of a case's number; it can be pickled.
        count: of cases.
        limit: seconds without an answer that are a hang.
    """
    found: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()  # None: a child has done its share

    def share(first: int) -> None:
        try:
            for outcome in _in_child(runs[first], range(first, count, len(runs)), limit):
                found.put(outcome)
        finally:
            found.put(None)

    with ThreadPoolExecutor(len(runs)) as pool:
        shares = [pool.submit(share, first) for first in range(len(runs))]
        for _ in runs:
            yield from iter(found.get, None)
        for ended in shares:
            ended.result()  # an error of ours


def _in_child(run: Callable[[int], Outcome], numbers: range, limit: float) -> Iterator[Outcome]:
    child = None
    for number in numbers:
        child = child or _Child(run, limit)
        try:
            yield child.ask(number)
        except TimeoutError:
            yield Outcome(f"{number}", "hang", f"no answer in {limit:.0f} s")
            child = child.end()
        except EOFError:
            yield Outcome(f"{number}", "crash", "the process is gone")
            child = child.end()
    if child is not None:
        child.end()


class _Child:
    """A process that runs cases one after the other."""

    def __init__(self, run: Callable[[int], Outcome], limit: float) -> None:
        self._usual = limit
        context = multiprocessing.get_context("spawn")
        self._limit = limit + IMPORTS
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(run, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, number: int) -> Outcome:
        self._pipe.send(number)
        if not self._pipe.poll(self._limit):
            raise TimeoutError
        outcome: Outcome = self._pipe.recv()
        self._limit = self._usual
        return outcome

    def end(self) -> None:
        self._process.kill()
        self._process.join()


def _answer(run: Callable[[int], Outcome], pipe: Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(run(pipe.recv()))


@functools.cache
def _command() -> Any:
    """The command line, put together once: that takes as long as a case."""
    from typer.main import get_command

    from reckon.cli import app

    return get_command(app)


def call(words: Sequence[str], out: TextIO, err: TextIO) -> tuple[int, str]:
    """Run `reckon` with these arguments: its exit code, and its traceback if there is one."""
    command = _command()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command([*words], prog_name="reckon")
    except SystemExit as end:
        return int(end.code or 0), ""
    except BaseException:
        return 1, traceback.format_exc()
    return 0, ""
