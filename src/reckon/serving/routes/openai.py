"""The OpenAI-compatible routes: a history as the user's turn, the ranked list as the reply, the reasoning beside it.

The reasoning is in `reasoning` and in `reasoning_content`, which clients of other servers read. Settings of sampling
(`temperature`, `max_tokens`, …) are accepted and mean nothing here: the reply is the run's greedy one.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field

from reckon.data.titles import parse_history
from reckon.errors import ReckonError
from reckon.serving.answers.answering import Asked, answered, understood
from reckon.serving.http.errors import Refused, problem_body, refusal_of
from reckon.serving.http.streams import Heartbeat, Stream, pieces, while_connected
from reckon.serving.routes.common import REFUSALS, Serving
from reckon.serving.schemas import LONGEST_HISTORY, RecommendBody, RecommendReply, Text
from reckon.serving.service import Service

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], responses=REFUSALS)
LONGEST_CONTENT = 1_000_000  # characters


class TextPart(BaseModel):
    """A part of a message."""

    type: Literal["text"]
    text: Text


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[Text, Field(max_length=LONGEST_CONTENT)] | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """What a stream holds besides."""

    include_usage: bool = False


class ChatBody(BaseModel):
    """A request of an OpenAI client; further fields are accepted and mean nothing."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "model": "run",
                    "messages": [{"role": "user", "content": "The Quiet Harbour; Calm Sea"}],
                    "stream": True,
                }
            ]
        },
    )
    model: Text
    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None


@router.get("/models", summary="The runs, as models")
def models(service: Serving) -> dict[str, Any]:
    data = [{"id": run.name, "object": "model", "created": 0, "owned_by": "reckon"} for run in service.groups.runs]
    return {"object": "list", "data": data}


@router.post(
    "/chat/completions",
    summary="A history in, a ranked list out",
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def chat(body: ChatBody, request: Request, service: Serving) -> Response:
    """The last user turn holds titles or item ids, oldest first, separated by semicolons or line breaks."""
    asked = await understood(service, await asyncio.to_thread(_wanted, service, body))
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": body.model}
    if body.stream:
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        return Stream(service, _chunks(asked, service, head, include_usage))
    reply, tokens = await while_connected(request, answered(service, asked))
    reasoning = None if reply.reasoning is None else reply.reasoning.text
    message = {"role": "assistant", "content": listed(reply), "reasoning": reasoning, "reasoning_content": reasoning}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": _usage(tokens)})


def listed(reply: RecommendReply) -> str:
    """The ranked items as text, one a line."""
    return "\n".join(f"{rank}. {item.title} [{item.id}]" for rank, item in enumerate(reply.items, start=1))


def _wanted(service: Service, body: ChatBody) -> RecommendBody:
    if body.model not in [run.name for run in service.groups.runs]:
        known = ", ".join(run.name for run in service.groups.runs)
        raise Refused(404, f"there is no model {body.model!r}. Fix: use {known}")
    turns = [message.text for message in body.messages if message.role == "user"]
    text = (turns or [""])[-1].replace("\r", "\n").replace("\n", ";").strip()
    catalog = service.groups.get(body.model).snapshot.catalog
    history = [catalog.ids[item] for item in parse_history(catalog, text)[-LONGEST_HISTORY:]]
    return RecommendBody(history=list(history), reasoning="live")


async def _chunks(asked: Asked, service: Service, head: dict[str, Any], include_usage: bool) -> AsyncGenerator[bytes]:
    head = {**head, "object": "chat.completion.chunk"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]})

    told = pieces(lambda on_text: answered(service, asked, on_text), service.config.limits.heartbeat_s)
    try:
        yield chunk({"role": "assistant", "content": ""})
        async with aclosing(told):
            async for piece in told:
                match piece:
                    case str():
                        yield chunk({"reasoning": piece, "reasoning_content": piece})
                    case Heartbeat():
                        yield format_sse_event(comment="heartbeat")
                    case (reply, tokens):
                        yield chunk({"content": listed(reply)})
                        yield chunk({}, "stop")
                        if include_usage:
                            yield _data({**head, "choices": [], "usage": _usage(tokens)})
        yield b"data: [DONE]\n\n"
    except (ReckonError, Refused) as error:
        yield _data(problem_body(refusal_of(error) if isinstance(error, ReckonError) else error))


def _usage(tokens: int) -> dict[str, int]:
    """Tokens of the reply; those of the prompt are not counted."""
    return {"prompt_tokens": 0, "completion_tokens": tokens, "total_tokens": tokens}


def _data(value: dict[str, Any]) -> bytes:
    return format_sse_event(data_str=json.dumps(value))
