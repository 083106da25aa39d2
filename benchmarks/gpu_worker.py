"""Parts of a benchmark in a process of their own, one after another, none of them past its time.

Entry points: `Budget`, and `Worker.call` with a module and a function by name, so that the caller imports no torch. A
part that fails, hangs or dies leaves a `status` and costs nothing but itself: the next one gets a fresh process.
"""

import importlib
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from measure import start

DONE, SKIPPED, STOPPED = "done", "skipped: budget", "stopped: budget"


class Budget:
    """Seconds of wall time that the whole run may take, from now on."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._end - time.monotonic())


def failure(error: BaseException) -> str:
    """The status of what raised."""
    lines = str(error).splitlines() or [""]
    return f"failed: {type(error).__name__}: {lines[0][:200]}"


def answer(process: BaseProcess, connection: Connection, seconds: float) -> dict[str, Any]:
    """The next message of a process; one that says nothing in time is killed."""
    try:
        if connection.poll(max(0.0, seconds)):
            return connection.recv()
        process.kill()
        status = STOPPED
    except (EOFError, OSError):
        status = "failed: its process died"
    process.join()
    return {"status": status}


def serve(connection: Connection) -> None:
    """Run what is asked for, in turn, and free the device's memory after each."""
    while True:
        module, function, arguments = connection.recv()
        try:
            found = {"status": DONE, **getattr(importlib.import_module(module), function)(**arguments)}
        except Exception as error:
            traceback.print_exc()
            found = {"status": failure(error)}
        free_memory()
        connection.send(found)


def free_memory() -> None:
    """Give back what the last part left on the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Worker:
    """A process that is started when it is needed, and anew after a failure: a broken device context stays broken."""

    def __init__(self) -> None:
        self._running: tuple[BaseProcess, Connection] | None = None

    def call(self, module: str, function: str, seconds: float, **arguments: Any) -> dict[str, Any]:
        """What the function returns, with its `status`."""
        if self._running is None:
            self._running = start(serve)
        process, connection = self._running
        connection.send((module, function, arguments))
        found = answer(process, connection, seconds)
        if found["status"] != DONE:
            self.close()
        return found

    def close(self) -> None:
        if self._running is not None:
            process, connection = self._running
            process.kill()
            process.join()
            connection.close()
            self._running = None
