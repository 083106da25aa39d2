"""What every request passes: a number of its own and a line in the log, the largest body, the key.

Entry points: the ASGI middlewares `Observed`, `BodyLimit` and `Guard`. They are plain ASGI, because a stream must pass
them piece by piece, and the end of a caller must reach it.
"""

import logging
import time
import uuid
from collections import defaultdict

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reckon.errors import ReckonError
from reckon.serving.http.auth import allows, secret_of
from reckon.serving.http.errors import Refused, problem, refusal_of
from reckon.serving.http.host import Host
from reckon.serving.logs import note
from reckon.serving.store.records import Scope as KeyScope

log = logging.getLogger(__name__)
OPEN = "/health/live"  # the one route that never needs a key
ADMIN = ("/models",)  # changes of what is under these paths need an admin's key
ASKING = ("/recommend", "/rate", "/v1/chat/completions")  # posted to, though they change nothing
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}  # of replies that set none of their own


class Observed:
    """Numbers, counts and logs every request. The log holds no id, title or body."""

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app, self._host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = uuid.uuid4().hex[:16]
        began, status = time.perf_counter(), 499  # the caller has gone

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = state["request_id"]
                for name, value in SECURITY.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            status = 500
            raise
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or "unknown"
        if self._host.service is not None:
            metrics = self._host.service.metrics
            metrics.requests.labels(scope["method"] if route != "unknown" else "", route, str(status)).inc()
            metrics.request_seconds.labels(route).observe(seconds)
        state = scope["state"]
        note(
            log,
            "request",
            request=state["request_id"],
            method=scope["method"],
            route=route,
            status=status,
            ms=round(1000 * seconds, 1),
            key=state.get("key"),
        )


class BodyLimit:
    """Refuses bodies that are too large, also those that do not say how large they are."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:19]) > self._most:
            await problem(scope, self._refused())(scope, receive, send)
            return
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise self._refused()
            return message

        await self._app(scope, limited, send)

    def _refused(self) -> Refused:
        return Refused(413, f"the body has more than {self._most:,} bytes. Fix: send several requests")


class Guard:
    """Asks for a key where keys exist, and keeps foreign pages away from a service without keys."""

    def __init__(self, app: ASGIApp, host: Host, local: bool, per_minute: int) -> None:
        self._app, self._host, self._local, self._per_minute = app, host, local, per_minute
        self._used: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))  # key -> (minute, requests in it)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != OPEN:
            try:
                self._check(scope)
            except Refused as refused:
                await problem(scope, refused)(scope, receive, send)
                return
            except ReckonError as error:
                await problem(scope, refusal_of(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if headers.get("sec-fetch-site") == "cross-site" and scope["method"] not in ("GET", "HEAD"):
            raise Refused(403, "another site's page may not change anything here")
        service = self._host.service
        if service is None:
            if not self._local:
                raise Refused(503, "the keys are not read yet", retry_after=1)
            self._check_name(headers)
            return
        if not service.keys.keys and self._local:
            self._check_name(headers)
            self._count("")
            return
        key = service.keys.find(secret_of(headers.get("authorization")))
        if key is None:
            told = {"WWW-Authenticate": 'Bearer realm="reckon", Basic realm="reckon", charset="UTF-8"'}
            raise Refused(401, "the request has no valid key. Fix: send `Authorization: Bearer KEY`", headers=told)
        scope["state"]["key"] = key.name
        needed = scope_of(scope["method"], scope["path"])
        if not allows(key, needed):
            raise Refused(403, f"the key has the scope {key.scope}, and this needs {needed}")
        self._count(key.name)

    def _check_name(self, headers: Headers) -> None:
        """A page of another site can point its name at this machine, but its requests still hold that name."""
        name = headers.get("host", "").lower()
        if name.rsplit(":", 1)[0] not in LOCAL_NAMES and name not in LOCAL_NAMES:
            raise Refused(403, "a service without keys answers to localhost alone. Fix: make a key: reckon keys new")

    def _count(self, name: str) -> None:
        if not self._per_minute:
            return
        minute = int(time.time() // 60)
        last, used = self._used[name]
        used = used + 1 if last == minute else 1
        self._used[name] = (minute, used)
        if used > self._per_minute:
            wait = int(60 - time.time() % 60) + 1
            raise Refused(429, f"more than {self._per_minute:,} requests in a minute", retry_after=wait)


def scope_of(method: str, path: str) -> KeyScope:
    """What a request needs of its key."""
    if method in ("GET", "HEAD", "OPTIONS") or path in ASKING:
        return "read"
    return "admin" if path.startswith(ADMIN) else "write"
