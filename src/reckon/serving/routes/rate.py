"""Predicted ratings."""

from fastapi import APIRouter

from reckon.serving.answers.rating import rated
from reckon.serving.routes.common import REFUSALS, Serving
from reckon.serving.schemas import RateBody, RateReply

router = APIRouter(tags=["recommendations"], responses=REFUSALS)


@router.post("/rate", summary="A predicted rating, and why", response_model=RateReply)
async def rate(body: RateBody, service: Serving) -> RateReply:
    """By a served run of RecZero or RecOne. With `samples` the rating is the mean of so many sampled replies."""
    return await rated(service, body)
