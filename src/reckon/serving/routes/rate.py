"""Predicted ratings."""

from fastapi import APIRouter, Request

from reckon.serving.answers.rating import rated
from reckon.serving.http.streams import while_connected
from reckon.serving.routes.common import REFUSALS, Serving
from reckon.serving.schemas import RateBody, RateReply

router = APIRouter(tags=["recommendations"], responses=REFUSALS)


@router.post("/rate", summary="A predicted rating, and why", response_model=RateReply)
async def rate(body: RateBody, request: Request, service: Serving) -> RateReply:
    """By a served run of RecZero or RecOne. With `samples` the rating is the mean of so many sampled replies."""
    return await while_connected(request, rated(service, body))
