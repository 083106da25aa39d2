"""Show a progress bar for anything that takes longer than two seconds, and nothing for the rest.

Entry point: `phase`. The bar goes to standard error and only to a terminal, so logs and pipes stay clean.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

DELAY = 2.0  # seconds
POLL = 0.2  # seconds between looks at a measured share


class Phase:
    """One running step. `advance` and `set_share` move its bar."""

    def __init__(self, total: float | None) -> None:
        self.total, self.done = total, 0.0

    def advance(self, amount: float) -> None:
        """Count `amount` more units of the total."""
        self.done += amount


@contextmanager
def phase(
    description: str,
    *,
    total: float | None = None,
    share: Callable[[], float] | None = None,
    console: Console | None = None,
    delay: float = DELAY,
) -> Iterator[Phase]:
    """Run a block as one named step.

    Args:
        description: what is being done, for a person.
        total: units of work, if known; the block reports them with `Phase.advance`.
        share: asked now and then how far the step is, in percent; below zero means unknown.
        console: where to draw; standard error by default.
        delay: seconds before anything is drawn.
    """
    console = console or Console(stderr=True)
    running = Phase(100.0 if share else total)
    if not console.is_terminal:
        yield running
        return
    finished = threading.Event()
    drawer = threading.Thread(target=_draw, args=(description, running, share, console, delay, finished), daemon=True)
    drawer.start()
    try:
        yield running
    finally:
        finished.set()
        drawer.join()


def _draw(
    description: str,
    running: Phase,
    share: Callable[[], float] | None,
    console: Console,
    delay: float,
    finished: threading.Event,
) -> None:
    if finished.wait(delay):
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=None)
        while not finished.wait(POLL):
            if share is not None:
                running.done = max(running.done, share())
            known = running.total if running.done > 0 else None
            progress.update(task, total=known, completed=running.done)
