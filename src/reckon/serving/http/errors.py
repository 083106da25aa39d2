"""Errors as replies: one shape for all, with what is wrong and how to mend it.

Entry points: `Refused`, which a route raises, and `add_error_replies`.
"""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import Scope

from reckon.errors import ReckonError
from reckon.serving.models.worker import FullQueue, Stopping
from reckon.serving.store.errors import StoreError, ValueRefused

log = logging.getLogger(__name__)
TITLES = {
    400: "Bad request",
    401: "A key is needed",
    403: "The key may not do this",
    404: "Not found",
    405: "The method is not allowed",
    409: "Conflict",
    413: "The body is too large",
    415: "The body is no JSON",
    422: "The request cannot be used",
    429: "Too many requests",
    500: "An error of ours",
    503: "Not available now",
}
OPENAI_PATH = "/v1/"
MOST_ERRORS = 20  # wrong fields that a reply names
FORMS = ("one", "many", "text")  # of what may be sent in several forms: no fields


class Refused(Exception):
    """A request that cannot be answered."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        self.status, self.detail, self.more = status, detail, more
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        super().__init__(detail)


def problem(scope: Scope, refused: Refused) -> JSONResponse:
    """The reply to a refused request; requests to the OpenAI-compatible routes get an error of that shape."""
    request_id = scope.get("state", {}).get("request_id")
    if str(scope.get("path", "")).startswith(OPENAI_PATH):
        return JSONResponse(problem_body(refused), refused.status, refused.headers)
    body = {
        "title": TITLES.get(refused.status, "Error"),
        "status": refused.status,
        "detail": refused.detail,
        "request_id": request_id,
        **refused.more,
    }
    return JSONResponse(body, refused.status, refused.headers, media_type="application/problem+json")


def problem_body(refused: Refused) -> dict[str, Any]:
    """The error of the OpenAI-compatible routes."""
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    return {"error": {"message": refused.detail, "type": kind, "param": None, "code": None}}


def refusal_of(error: ReckonError) -> Refused:
    """What the caller is told of an error that is no bug."""
    if isinstance(error, FullQueue):
        return Refused(429, str(error), retry_after=1)
    if isinstance(error, StoreError) and not isinstance(error, ValueRefused):
        log.warning("%s", error)
        return Refused(503, str(error), retry_after=5)
    if isinstance(error, Stopping):
        return Refused(503, str(error), retry_after=5)
    return Refused(422, str(error))


def add_error_replies(app: FastAPI) -> None:
    """Let every error of an application become a reply."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return problem(request.scope, error)

    @app.exception_handler(ReckonError)
    async def known(request: Request, error: ReckonError) -> JSONResponse:
        return problem(request.scope, refusal_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = wrong_fields(error.errors())
        first = f"{found[0]['field']}: {found[0]['problem']}" if found else "the request has a wrong form"
        return problem(request.scope, Refused(422, first, errors=found))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, Refused):  # while the body was read
            return problem(request.scope, error.__cause__)
        return problem(request.scope, Refused(error.status_code, str(error.detail), headers=dict(error.headers or {})))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> JSONResponse:
        return problem(request.scope, Refused(500, "the service has a bug; its log has the details"))


def wrong_fields(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Fields that are wrong, without the values that were sent."""
    return [
        {"field": ".".join(str(part) for part in error["loc"] if part not in FORMS), "problem": str(error["msg"])[:300]}
        for error in errors[:MOST_ERRORS]
    ]
