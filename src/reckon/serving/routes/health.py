"""Is it alive, is it ready, and what has it counted."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from reckon.serving.routes.common import REFUSALS, Serving
from reckon.serving.schemas import Ready

router = APIRouter(tags=["operations"])


@router.get("/health/live", summary="The process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get(
    "/health/ready", response_model=Ready, summary="Requests can be answered", responses={503: {"model": Ready}}
)
def ready(request: Request) -> JSONResponse:
    host = request.app.state.host
    reasons = list(host.reasons)
    if not reasons:
        try:
            host.service.store.check()
        except Exception as error:  # whatever it is, the store cannot be read
            reasons = [str(error)]
    return JSONResponse(Ready(ready=not reasons, reasons=reasons).model_dump(), 503 if reasons else 200)


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response, responses=REFUSALS)
def metrics(service: Serving) -> Response:
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
