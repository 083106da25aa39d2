"""Ctrl-C and SIGTERM, the same way in every command: what is being written goes, what can be saved is saved.

Entry points: `listen` at the start of a process, `stop_listening` at its end; `stopped_by` and `has_interrupted` for
its last line and exit code; `delayed` around what must not be interrupted.

Either signal raises `KeyboardInterrupt` in the main thread, so locks, workers and half-written files go as after an
error. Where work finishes a step and saves first (training, asking a teacher), it puts its own handler on SIGINT, and
SIGTERM calls that one, too. The second signal after a `KeyboardInterrupt` ends the process at once, wherever it is.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

_asked: ContextVar[signal.Signals | None] = ContextVar("asked", default=None)


def listen() -> None:
    """Take both signals. A SIGINT that the process was started to ignore, as in the background of a shell, stays so."""
    _asked.set(None)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _terminate)


def stop_listening() -> None:
    """Let either signal end the process by itself: its work is done."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def stopped_by() -> signal.Signals:
    """The signal that asked this process to stop: SIGINT, unless SIGTERM came first."""
    return _asked.get() or signal.SIGINT


@contextmanager
def delayed() -> Iterator[None]:
    """Let either signal wait until the block has ended, so that what the block makes is known to whoever cleans up.

    For blocks that end at once. In another thread than the main one signals interrupt nothing, and nothing waits.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in WORDS}
    taken = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    for number in taken:
        signal.signal(number, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def has_interrupted() -> bool:
    """Whether a `KeyboardInterrupt` was raised here; what follows it is no error of its own."""
    return _asked.get() is not None and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The handler of SIGINT where nothing has to be finished first."""
    if _asked.get() is None:
        _asked.set(signal.Signals(number))
    stop_listening()
    raise KeyboardInterrupt


def _terminate(number: int, frame: FrameType | None) -> None:
    """The handler of SIGTERM: as Ctrl-C, where Ctrl-C is taken."""
    if _asked.get() is None:
        _asked.set(signal.Signals(number))
    handler = signal.getsignal(signal.SIGINT)
    if handler in (signal.SIG_IGN, signal.SIG_DFL, None):
        handler = _interrupt
    assert callable(handler)
    handler(signal.SIGINT, frame)
