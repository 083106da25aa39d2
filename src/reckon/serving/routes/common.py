"""What routes share: the service, bulk bodies, the shape of refusals in the OpenAPI description."""

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError

from reckon.serving.http.errors import Refused, wrong_fields
from reckon.serving.schemas import Problem
from reckon.serving.service import Service

M = TypeVar("M", bound=BaseModel)
LINES = "application/x-ndjson"
BULK_BODY = {"requestBody": {"required": True, "content": {LINES: {"schema": {"type": "string"}}}}}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text, "content": {"application/problem+json": {}}}
    for status, text in (
        (401, "A key is needed."),
        (403, "The key may not do this."),
        (413, "The body is too large."),
        (422, "The request cannot be used."),
        (429, "Too many requests; see Retry-After."),
        (503, "Not available now."),
    )
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Not found.", "content": {"application/problem+json": {}}}
}


def _service(request: Request) -> Service:
    host = request.app.state.host
    if host.reasons:
        raise Refused(503, "; ".join(host.reasons), retry_after=1)
    service: Service = host.service
    return service


Serving = Annotated[Service, Depends(_service)]


async def lines_of(request: Request, model: type[M], most: int) -> list[M]:
    """The records of a bulk body, one JSON object a line.

    Raises:
        Refused: there are too many, or a line is none; it names the line.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (LINES, "application/jsonl", "application/json-lines"):
        raise Refused(415, f"the body must be JSON lines. Fix: send Content-Type: {LINES}")
    found: list[M] = []
    for number, line in _lines(await request.body()):
        if len(found) == most:
            raise Refused(413, f"the body has more than {most:,} records. Fix: send several requests")
        try:
            found.append(model.model_validate_json(line))
        except ValidationError as error:
            wrong = wrong_fields(error.errors())
            where = f"{wrong[0]['field']}: " if wrong[0]["field"] else ""
            raise Refused(422, f"line {number}: {where}{wrong[0]['problem']}", errors=wrong) from None
    return found


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(body.splitlines(), start=1):
        if line.strip():
            yield number, line


def unknown(kind: str, name: str) -> Refused:
    """The refusal of an id that nobody knows."""
    return Refused(404, f"there is no {kind} with this id", missing_ids=[name])
