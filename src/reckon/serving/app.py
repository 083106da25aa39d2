"""The HTTP application: its routes, what guards them, and how errors become replies.

Entry point: `create_app`. The service itself is `reckon.serving.service`.
"""

import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from reckon import __version__
from reckon.errors import ReckonError
from reckon.serving.config import ServiceConfig
from reckon.serving.errors import add_error_replies
from reckon.serving.guards import BodyLimit, Guard, Observed
from reckon.serving.routes import events, health, items, models, openai, pages, recommend, users
from reckon.serving.service import Service

log = logging.getLogger(__name__)
ABOUT = """Recommendations that say why.

Ids are strings of 1 to 256 characters. Errors are `application/problem+json` (RFC 9457). Where keys exist, every route
but `/health/live` needs one: `Authorization: Bearer KEY`.
"""


class Host:
    """The service of one application: absent while it is being opened."""

    def __init__(self, open_service: Callable[[], Service], on_failure: Callable[[], None]) -> None:
        self._open, self._on_failure = open_service, on_failure
        self.service: Service | None = None
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="opening", daemon=True)

    def start(self) -> None:
        """Open the service in the background."""
        self._thread.start()

    def stop(self) -> None:
        self._thread.join()
        if self.service is not None:
            self.service.stop()

    @property
    def reasons(self) -> list[str]:
        """Why requests cannot be answered yet; empty once they can."""
        if self.failure is not None:
            return [str(self.failure)]
        return ["the model is being loaded"] if self.service is None else self.service.not_ready

    def _run(self) -> None:
        try:
            service = self._open()
            self.service = service
            service.start()
        except Exception as error:
            if not isinstance(error, ReckonError):
                log.exception("the service cannot start")
            self.failure = error
            self._on_failure()


def create_app(
    open_service: Callable[[], Service],
    config: ServiceConfig,
    *,
    local: bool = True,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The application.

    Args:
        open_service: makes the service; called in the background once the application has started.
        config: limits of requests.
        local: whether it listens on this machine alone, so that it may do without keys.
        on_failure: called where the service cannot be opened; `app.state.host.failure` says why.
    """
    host = Host(open_service, on_failure)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        host.start()
        yield
        host.stop()

    app = FastAPI(title="Reckon", version=__version__, description=ABOUT, lifespan=lifespan, docs_url="/docs")
    app.state.host = host
    add_error_replies(app)
    for room in (health, items, users, events, recommend, openai, models, pages):
        app.include_router(room.router)
    middleware: Any = app.add_middleware  # the last one added is the outermost
    middleware(Guard, host=host, local=local, per_minute=config.limits.per_minute)
    middleware(BodyLimit, most=config.limits.body_bytes)
    middleware(Observed, host=host)
    return app
