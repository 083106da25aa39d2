"""The HTTP application: its routes, what guards them, and how errors become replies.

Entry point: `create_app`. The service itself is `reckon.serving.service`.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from reckon import __version__
from reckon.serving.config import ServiceConfig
from reckon.serving.http.errors import add_error_replies
from reckon.serving.http.guards import BodyLimit, Guard, Observed
from reckon.serving.http.host import Host
from reckon.serving.routes import events, health, items, models, openai, pages, rate, recommend, users
from reckon.serving.service import Service

ABOUT = """Recommendations that say why.

Ids are strings of 1 to 256 characters. Errors are `application/problem+json` (RFC 9457). Where keys exist, every route
but `/health/live` needs one: `Authorization: Bearer KEY`.
"""


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

    app = FastAPI(
        title="Reckon", version=__version__, description=ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.host = host
    add_error_replies(app)
    for room in (health, items, users, events, recommend, rate, openai, models, pages):
        app.include_router(room.router)
    middleware: Any = app.add_middleware  # the last one added is the outermost
    middleware(Guard, host=host, local=local, per_minute=config.limits.per_minute)
    middleware(BodyLimit, most=config.limits.body_bytes)
    middleware(Observed, host=host)
    return app
