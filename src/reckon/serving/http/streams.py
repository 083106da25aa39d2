"""An answer as a stream: pieces of the reasoning while they are written, then the rest.

Entry point: `pieces`. A stream that nobody reads any more ends the reasoning at its next token.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from reckon.serving.http.errors import Refused
from reckon.serving.service import Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while; the stream is still open."""


async def pieces(
    work: Callable[[Callable[[str], None]], Awaitable[T]], heartbeat_s: float
) -> AsyncIterator[str | Heartbeat | T]:
    """Text while `work` tells some, heartbeats in between, and last the result.

    Args:
        work: is given what to call with each piece of text, from any thread.
        heartbeat_s: seconds of silence after which a heartbeat comes.
    """
    loop, told = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def on_text(text: str) -> None:
        loop.call_soon_threadsafe(told.put_nowait, text)

    task = asyncio.ensure_future(work(on_text))
    task.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while True:
            try:
                text = await asyncio.wait_for(told.get(), heartbeat_s)
            except TimeoutError:
                yield Heartbeat()
                continue
            if text is None:
                break
            yield text
        while not told.empty():  # told in the same moment as the end
            if (text := told.get_nowait()) is not None:
                yield text
        yield await task
    finally:
        task.cancel()


class StreamCount:
    """Streams that are open; a context manager that refuses one too many."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __enter__(self) -> None:
        gauge, most = self._service.metrics.streams, self._service.config.limits.streams
        if self._service.open_streams >= most:
            raise Refused(429, f"{most:,} streams are open. Fix: ask again in a moment", retry_after=1)
        self._service.open_streams += 1
        gauge.inc()

    def __exit__(self, *exception: object) -> None:
        self._service.open_streams -= 1
        self._service.metrics.streams.dec()
