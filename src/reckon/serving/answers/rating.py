"""A predicted rating, from the request to the reply: what is known of user and item, replies, their mean.

Entry point: `rated`.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence

from reckon.data.ratings import RatingExample
from reckon.errors import DataError
from reckon.serving.models.served_rater import PastRating, RatingReply, ServedRater
from reckon.serving.models.worker import ModelWorker
from reckon.serving.schemas import RateBody, RateReply
from reckon.serving.service import Service
from reckon.serving.store.conditions import Condition
from reckon.serving.store.records import UserEvent


async def rated(service: Service, body: RateBody) -> RateReply:
    """Predict the rating that a user would give an item.

    Raises:
        DataError: no run that predicts ratings is served, or user and item do not fit it.
        FullQueue: too many requests wait for the model.
    """
    began = time.perf_counter()
    rater = service.rater
    if rater is None:
        raise DataError("the service", "serves no run that predicts ratings", "start it with one")
    example = await asyncio.to_thread(example_of, service, rater, body)
    replies = await written(service.worker, rater, example, body.samples)
    ratings = [reply.rating for reply in replies if reply.rating is not None]
    return RateReply(
        rating=statistics.fmean(ratings) if ratings else None,
        spread=statistics.stdev(ratings) if len(ratings) > 1 else None,
        lowest=rater.model.scale.lowest,
        highest=rater.model.scale.highest,
        reasoning=replies[0].text,
        truncated=replies[0].truncated,
        problems=[reply.problem for reply in replies if reply.problem is not None],
        samples=body.samples,
        model=rater.name,
        version=rater.version,
        timings_ms={"total": round(1000 * (time.perf_counter() - began), 3)},
    )


async def written(
    worker: ModelWorker, rater: ServedRater, example: RatingExample, samples: int
) -> Sequence[RatingReply]:
    """The greedy reply, or so many sampled ones; they end when nobody waits any more."""
    writer = rater.greedy if samples == 1 else rater.sampled
    replies = []
    try:
        for _ in range(samples):
            replies.append(worker.reply(writer, example))
        return await asyncio.gather(*(asyncio.wrap_future(reply.future) for reply in replies))
    finally:
        for reply in replies:
            reply.drop()


def example_of(service: Service, rater: ServedRater, body: RateBody) -> RatingExample:
    """What is known of the user and of the item, from the store or from the request."""
    if (body.user_id is None) == (body.history is None):
        raise DataError("user_id and history", "need exactly one of them", "give a user, or ratings")
    if body.item_id not in rater:
        raise DataError("item_id", "is no item that is known", "put the item first")
    prompt, events, counted = rater.model.config.prompt, service.store.events, _conditions(service, rater)
    if body.user_id is not None:
        own = [_past(event) for event in events.of_user(body.user_id, limit=prompt.window, conditions=counted)]
        user_mean = events.mean_value(user_id=body.user_id, conditions=counted)
    else:
        given = body.history or []
        wrong = [one.rating for one in given if not rater.model.scale.contains(one.rating)]
        if wrong:
            raise DataError("history", f"has a rating off the scale of {rater.model.scale}", "give ratings on it")
        own = [PastRating("", one.item_id, one.rating, None, one.summary, one.text) for one in given]
        user_mean = statistics.fmean(one.rating for one in given) if given else None
    others = events.of_item(body.item_id, limit=prompt.item_window, without_user=body.user_id, conditions=counted)
    item_mean = events.mean_value(item_id=body.item_id, without_user=body.user_id, conditions=counted)
    known = [_past(event) for event in others]
    return rater.example(body.item_id, body.user_id or "", own, known, user_mean, item_mean)


def _conditions(service: Service, rater: ServedRater) -> list[Condition]:
    """Events that are ratings: of the declared types, with a value."""
    return [Condition(name, ">=", rater.model.scale.lowest) for name in service.config.events.ratings]


def _past(event: UserEvent) -> PastRating:
    rating = 0.0 if event.value is None else event.value
    when = int(event.time.timestamp())
    return PastRating(event.user_id, event.item_id, rating, when, event.summary or "", event.text or "")
