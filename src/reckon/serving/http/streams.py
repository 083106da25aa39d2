"""An answer as a stream: pieces of the reasoning while they are written, then the rest.

Entry points: `pieces`, and `Stream`, the reply that sends them; `while_connected` for a reply in one piece. Where
nobody reads any more, the reasoning ends at its next token.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from reckon.serving.http.errors import Refused
from reckon.serving.service import Service

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing happened for a while; the stream is still open."""


async def pieces(
    work: Callable[[Callable[[str], None]], Awaitable[T]], heartbeat_s: float
) -> AsyncGenerator[str | Heartbeat | T]:
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


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which ends where the caller goes.

    Raises:
        Refused: the caller has gone, so nobody reads this.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refused(499, "the caller has gone")
    finally:
        task.cancel()
        gone.cancel()


async def _disconnected(request: Request) -> None:
    """Returns when the connection of a request, whose body was read, is closed."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Stream(StreamingResponse):
    """A reply of server-sent events, counted while it is open."""

    media_type = "text/event-stream"

    def __init__(self, service: Service, events: AsyncGenerator[bytes]) -> None:
        """Raises Refused where too many streams are open."""
        most = service.config.limits.streams
        if service.open_streams >= most:
            raise Refused(429, f"{most:,} streams are open. Fix: ask again in a moment", retry_after=1)
        super().__init__(events, headers={"Cache-Control": "no-store"})
        self._service, self._events = service, events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the caller goes, also before the first one."""
        self._service.open_streams += 1
        self._service.metrics.streams.inc()
        try:
            async with aclosing(self._events):
                await super().__call__(scope, receive, send)
        finally:
            self._service.open_streams -= 1
            self._service.metrics.streams.dec()
