"""Recommendations, as one reply or as a stream, and what an answer came from."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel

from reckon.errors import ReckonError
from reckon.serving.answers.answering import Asked, answered, explained, understood
from reckon.serving.http.errors import Refused, refusal_of
from reckon.serving.http.streams import Heartbeat, Stream, pieces, while_connected
from reckon.serving.routes.common import NOT_FOUND, REFUSALS, Serving, unknown
from reckon.serving.schemas import ExplainReply, Id, RecommendBody, RecommendReply
from reckon.serving.service import Service

router = APIRouter(tags=["recommendations"], responses=REFUSALS)
STREAM = "text/event-stream"


class Usage(BaseModel):
    """What a stream has cost."""

    reasoning_tokens: int
    timings_ms: dict[str, float]


@router.post(
    "/recommend",
    summary="Ranked items, and why",
    response_model=RecommendReply,
    responses={200: {"content": {STREAM: {"schema": {"type": "string"}}}}, **NOT_FOUND},
)
async def recommend(body: RecommendBody, request: Request, service: Serving) -> Response:
    """With `Accept: text/event-stream` the events `reasoning` (`{"delta": …}`), `items` (the reply) and `usage`; the
    event `error` ends a stream that cannot go on."""
    asked = await understood(service, body)
    if STREAM in request.headers.get("accept", ""):
        return Stream(service, _events(asked, service))
    reply, _ = await while_connected(request, answered(service, asked))
    return JSONResponse(reply.model_dump(mode="json"))


@router.get(
    "/explain/{recommendation_id}", summary="What an answer came from", response_model=ExplainReply, responses=NOT_FOUND
)
def explain(recommendation_id: Id, service: Serving) -> ExplainReply:
    answer = service.store.answers.get(recommendation_id)
    if answer is None:
        raise unknown("answer", recommendation_id)
    return explained(service, answer)


async def _events(asked: Asked, service: Service) -> AsyncGenerator[bytes]:
    told = pieces(lambda on_text: answered(service, asked, on_text), service.config.limits.heartbeat_s)
    try:
        async with aclosing(told):
            async for piece in told:
                match piece:
                    case str():
                        yield event("reasoning", Delta(delta=piece))
                    case Heartbeat():
                        yield format_sse_event(comment="heartbeat")
                    case (reply, tokens):
                        yield event("items", reply)
                        yield event("usage", Usage(reasoning_tokens=tokens, timings_ms=reply.timings_ms))
    except (ReckonError, Refused) as error:
        refused = refusal_of(error) if isinstance(error, ReckonError) else error
        yield event("error", Failure(status=refused.status, detail=refused.detail))


class Delta(BaseModel):
    """A piece of the reasoning."""

    delta: str


class Failure(BaseModel):
    """Why a stream ends early."""

    status: int
    detail: str


def event(name: str, data: BaseModel) -> bytes:
    """One server-sent event."""
    return format_sse_event(event=name, data_str=data.model_dump_json())
