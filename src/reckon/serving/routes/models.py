"""The runs behind the service: which there are, and the exchange of one for another."""

from pathlib import Path

from fastapi import APIRouter

from reckon.errors import DataError, of_the_system
from reckon.serving.models.served_run import ServedRun
from reckon.serving.routes.common import NOT_FOUND, REFUSALS, Serving, unknown
from reckon.serving.schemas import Activate, ModelReply
from reckon.serving.service import Service

router = APIRouter(tags=["operations"], responses=REFUSALS)


@router.get("/models", summary="The runs that answer", response_model=list[ModelReply])
def models(service: Serving) -> list[ModelReply]:
    return [_reply(service, run) for run in service.groups.runs]


@router.post("/models/{name}/activate", summary="Exchange a run", response_model=ModelReply, responses=NOT_FOUND)
def activate(name: str, body: Activate, service: Serving) -> ModelReply:
    """Loads and warms the new run, then lets it answer; if it cannot be used, the old one goes on. Requests that have
    begun end with the old one."""
    try:
        service.groups.get(name)
    except DataError:
        raise unknown("model", name) from None
    try:
        return _reply(service, service.activate(name, Path(body.run)))
    except OSError as error:
        raise of_the_system(error) or error from None


def _reply(service: Service, run: ServedRun) -> ModelReply:
    return ModelReply(
        name=run.name,
        version=run.version,
        reasons=run.reasons,
        items=len(run.snapshot.rows) - len(run.hidden & run.snapshot.rows.keys()),
        share=service.groups.shares[run.name],
    )
