"""How progress is shown, everywhere: a bar on a terminal, a plain line now and then in a file or pipe.

Entry points: `phase`; `quiet_transformers`, for bars that are not ours. On a terminal each phase has a bar on standard
error, drawn once the phase has lasted DELAY seconds and wiped when it ends; phases inside phases share one display.
Elsewhere a phase writes its first line after FIRST_LINE seconds and the next at least every INTERVAL seconds, without
escape codes; one more tells how long a long phase will last, as soon as its first units are done:

    encoding items 1,200 of 3,686, 0:31, about 2 min left

Steps shorter than that show nothing at all.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

DELAY = 2.0  # seconds before a bar is drawn
FIRST_LINE = 5.0  # seconds before the first plain line of a phase
INTERVAL = 30.0  # seconds between plain lines
LONG = 60.0  # seconds that a phase must still take for its end to be told
POLL = 0.2  # seconds between looks at the running phases
Unit = Literal["count", "bytes", "percent"]


class Phase:
    """One running step. Whoever does the work moves `done`, and may say more in `note`."""

    def __init__(self, description: str, total: float | None, unit: Unit = "count") -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = 0.0
        self.note = ""
        """What else a person wants to see beside the bar, e.g. the newest loss; lines of it are rows on a terminal."""

    def advance(self, amount: float) -> None:
        """Count `amount` more units of the total."""
        self.done += amount

    @property
    def amount(self) -> str:
        """How far it is: `1,200 of 3,686`, `45%`; empty where nothing is counted."""
        if self.unit == "percent":
            return f"{min(self.done, 100):.0f}%" if self.done > 0 else ""
        written: Callable[[float], str] = _bytes if self.unit == "bytes" else _count
        if self.total is not None:
            return f"{written(self.done)} of {written(self.total)}"
        return written(self.done) if self.done > 0 else ""

    def line(self, seconds: float, left: float | None = None) -> str:
        """The plain line of this phase, `seconds` after it began; `left` is how many more it will take, if known."""
        minutes, rest = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
        begun = f"{self.description} {self.amount}".strip()
        estimate = "" if left is None or left < LONG else f"about {left / 60:,.0f} min left"
        return ", ".join(part for part in (begun, clock, estimate, "; ".join(self.note.split("\n"))) if part)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _bytes(number: float) -> str:
    return decimal(int(number))


class PlainLines:
    """Decides which phase is due for a plain line. Knows no clock: the time is given."""

    def __init__(self, first: float = FIRST_LINE, interval: float = INTERVAL) -> None:
        self.first, self.interval = first, interval
        self._begun: dict[Phase, float] = {}  # in the order they began: a later one is inside the earlier ones
        self._said: set[Phase] = set()
        self._moved: dict[Phase, tuple[float, float]] = {}  # when its first units were seen to be done, and how many
        self._estimated: set[Phase] = set()
        self._last: float | None = None

    def begin(self, phase: Phase, now: float) -> None:
        """A phase begins."""
        self._begun[phase] = now

    def end(self, phase: Phase) -> None:
        """A phase is over."""
        self._begun.pop(phase, None)
        self._said.discard(phase)
        self._moved.pop(phase, None)
        self._estimated.discard(phase)

    def due(self, now: float) -> list[str]:
        """The lines to write now: the first of each phase that has lasted `first` seconds, its first with an estimate,
        and that of the innermost such phase where the last line of any is `interval` seconds ago."""
        for phase in self._begun:
            if phase.done > 0:
                self._moved.setdefault(phase, (now, phase.done))
        lasting = [phase for phase, begun in self._begun.items() if now - begun >= self.first]
        long = {phase for phase in lasting if (self._left(phase, now) or 0) >= LONG}
        due = [phase for phase in lasting if phase not in self._said or phase in long - self._estimated]
        if not due and lasting and self._last is not None and now - self._last >= self.interval:
            due = lasting[-1:]
        if due:
            self._last = now
            self._said |= set(due)
            self._estimated |= long & set(due)
        return [phase.line(now - self._begun[phase], self._left(phase, now)) for phase in due]

    def _left(self, phase: Phase, now: float) -> float | None:
        """Seconds until a phase ends, at its pace since its first units; None where nobody can tell."""
        since, before = self._moved.get(phase, (now, 0.0))
        if phase.total is None or phase.done <= before or now <= since:
            return None
        return (now - since) * (phase.total - phase.done) / (phase.done - before)


class _Display:
    """Shows the phases that run at one time, from a thread of its own."""

    def __init__(self, console: Console, delay: float, plain: PlainLines) -> None:
        self.console, self.delay, self.plain = console, delay, plain
        self._lock = threading.Lock()
        self._running: dict[Phase, tuple[float, Callable[[], float] | None]] = {}
        self._tasks: dict[Phase, TaskID] = {}
        self._bars: Progress | None = None
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def begin(self, phase: Phase, share: Callable[[], float] | None) -> None:
        with self._lock:
            self._running[phase] = time.monotonic(), share
            self.plain.begin(phase, time.monotonic())
        if not self._thread.ident:
            self._thread.start()

    def end(self, phase: Phase) -> bool:
        """End a phase; True when it was the last, and with it the display."""
        with self._lock:
            del self._running[phase]
            self.plain.end(phase)
            task, last = self._tasks.pop(phase, None), not self._running
            if self._bars is not None and task is not None:
                self._bars.remove_task(task)
        if last:
            self._finished.set()
            self._thread.join()
        return last

    def _draw(self) -> None:
        show = self._show_bars if self.console.is_terminal else self._write_lines
        try:
            while not self._finished.wait(min(POLL, self.delay or POLL)):
                with self._lock:
                    show(time.monotonic())
        except (OSError, ValueError):
            return  # nobody reads standard error any more; the work goes on
        finally:
            if self._bars is not None:
                self._bars.stop()

    def _show_bars(self, now: float) -> None:
        for phase, (begun, share) in self._running.items():
            if now - begun < self.delay:
                continue
            if self._bars is None:
                self._bars = Progress(*_columns(), console=self.console, transient=True)
                self._bars.start()
            if phase not in self._tasks:
                self._tasks[phase] = self._bars.add_task(phase.description, total=None, amount="", note="")
            _look(phase, share)
            self._bars.update(
                self._tasks[phase],
                total=phase.total if phase.done > 0 else None,
                completed=phase.done,
                description=phase.description,
                amount=phase.amount,
                note=phase.note,
            )

    def _write_lines(self, now: float) -> None:
        for phase, (_, share) in self._running.items():
            _look(phase, share)
        for line in self.plain.due(now):
            print(line, file=self.console.file, flush=True)


def _look(phase: Phase, share: Callable[[], float] | None) -> None:
    if share is not None:
        phase.done = max(phase.done, share())


def _columns() -> tuple[SpinnerColumn | TextColumn | BarColumn | TimeElapsedColumn | TimeRemainingColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )


class _Screen:
    """The display on standard error: a process has one, however many phases are in it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.display: _Display | None = None

    def begin(self, phase: Phase, share: Callable[[], float] | None) -> None:
        with self.lock:
            self.display = self.display or _Display(standard_error(), DELAY, PlainLines())
            self.display.begin(phase, share)

    def end(self, phase: Phase) -> None:
        with self.lock:
            assert self.display is not None
            if self.display.end(phase):
                self.display = None


# Two live displays on one terminal overwrite each other, so phases inside phases must find the one that is there.
_SCREEN = _Screen()


def standard_error() -> Console:
    """A console on standard error that takes for a terminal only what is one, whatever FORCE_COLOR says."""
    console = Console(stderr=True)
    return console if console.file.isatty() else Console(stderr=True, force_terminal=False, no_color=True)


@contextmanager
def phase(
    description: str,
    *,
    total: float | None = None,
    share: Callable[[], float] | None = None,
    unit: Unit = "count",
    shown: bool = True,
    console: Console | None = None,
    delay: float = DELAY,
    lines: PlainLines | None = None,
) -> Iterator[Phase]:
    """Run a block as one named step.

    Args:
        description: what is being done, for a person.
        total: units of work, if known; the block reports them with `Phase.advance`.
        share: asked now and then how far the step is, in percent; below zero means unknown.
        unit: what is counted.
        shown: False runs the block and shows nothing.
        console: where to draw; standard error by default.
        delay: seconds before a bar is drawn on a `console` of one's own.
        lines: when plain lines are due on a `console` of one's own.
    """
    running = Phase(description, 100.0 if share else total, "percent" if share else unit)
    if not shown:
        yield running
        return
    own = None if console is None else _Display(console, delay, lines or PlainLines())
    (own or _SCREEN).begin(running, share)
    try:
        yield running
    finally:
        (own or _SCREEN).end(running)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bar for every saved shard and no word on tied weights that are rightly absent from a checkpoint."""
    from transformers.utils import logging

    bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
