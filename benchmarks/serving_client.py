"""A server process and a client for the benchmarks of the service.

Entry points: `Server`, a `reckon serve` in a process of its own; `call` and `stream`, requests over asyncio. A client
library would cost more time than the service itself when 1,000 streams are open in one process.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

READY_S = 120


class Server:
    """`reckon serve RUN` on a free port; a context manager that ends it."""

    def __init__(
        self,
        run: Path,
        store: Path | str,
        settings: Sequence[str] = (),
        port: int | None = None,
        log: Path | None = None,
    ) -> None:
        """`log`: a file for its warnings and errors."""
        self.port, self._log = port or free_port(), log
        self._command = [sys.executable, "-m", "reckon", "serve", str(run), "--store", str(store), "--quiet"]
        self._command += ["--port", str(self.port)]
        for setting in settings:
            self._command += ["--set", setting]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop(signal.SIGTERM)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with open(self._log or os.devnull, "ab") as errors:
            self._process = subprocess.Popen(self._command, stderr=errors)
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise SystemExit(f"the server has ended with {self._process.returncode}: {' '.join(self._command)}")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the server is not ready")

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def stop(self, by: signal.Signals) -> None:
        """End it and wait for its end."""
        assert self._process is not None
        self._process.send_signal(by)
        self._process.wait()

    def get(self, path: str) -> Any:
        """A GET request, parsed; text where it is no JSON."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as reply:
            body = reply.read().decode()
        return json.loads(body) if reply.headers.get_content_type() == "application/json" else body

    def number(self, name: str) -> float:
        """One number of /metrics, summed over its labels."""
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes that the process holds; `VmHWM` for the most it ever held."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(field)

    def open_files(self) -> int:
        """File descriptors of the process."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _sent(port: int, path: str, body: Any, accept: str) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """Status of a POST request, and the reader of its body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: {accept}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        first = await reader.readline()
        if not first:
            raise ConnectionResetError("the server has closed the connection")
        while (await reader.readline()).strip():
            pass  # headers
        yield int(first.split()[1]), reader
    finally:
        writer.close()


async def call(port: int, path: str, body: Any) -> tuple[int, Any]:
    """Status and parsed reply of a POST request."""
    async with _sent(port, path, body, "application/json") as (status, reader):
        return status, json.loads(await reader.read())


async def stream(port: int, body: Any, *, leave_after: int | None = None) -> list[tuple[str, Any]]:
    """Events of a streamed recommendation, with their data.

    Args:
        port: of the server.
        body: the request.
        leave_after: close the connection after so many events; None: read to the end.
    """
    events: list[tuple[str, Any]] = []
    name = ""
    async with _sent(port, "/recommend", body, "text/event-stream") as (status, reader):
        if status != 200:
            return [(f"status {status}", None)]
        while leave_after is None or len(events) < leave_after:
            line = await reader.readline()
            if not line:
                break
            if line.startswith(b"event:"):
                name = line[6:].strip().decode()
            elif line.startswith(b"data:"):
                events.append((name, json.loads(line[5:])))
    return events
