"""Events: what users did."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query

from reckon.serving.http.errors import Refused
from reckon.serving.routes.common import REFUSALS, Serving
from reckon.serving.schemas import EventBody, EventsReply, EventTypes, OneOrMany
from reckon.serving.service import Service
from reckon.serving.store.records import User, UserEvent

router = APIRouter(tags=["events"], responses=REFUSALS)


@router.post("/events", summary="Store one event or many", response_model=EventsReply)
def add_events(
    body: OneOrMany,
    service: Serving,
    validate_only: Annotated[bool, Query(description="Check, and write nothing.")] = False,
) -> EventsReply:
    """All or none. An event whose `event_id` is there already changes nothing, so a request can be repeated."""
    bodies = body if isinstance(body, list) else [body]
    if len(bodies) > service.config.limits.bulk:
        most = service.config.limits.bulk
        raise Refused(413, f"the body has more than {most:,} records. Fix: send several requests")
    events = [_event(one) for one in bodies]
    fresh_users = _checked(service, events)
    ids = [event.id for event in events]
    if validate_only:
        return EventsReply(accepted=0, repeated=0, event_ids=ids, validate_only=True)
    if fresh_users:
        service.store.users.put([User(user_id) for user_id in fresh_users], replace=False)
    new = service.add_events(events)
    return EventsReply(accepted=sum(new), repeated=len(new) - sum(new), event_ids=ids)


@router.get("/events", summary="The latest events")
def recent_events(
    service: Serving,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    after: Annotated[int, Query(ge=0, lt=1 << 63)] | None = None,
    before: Annotated[int, Query(ge=0, lt=1 << 63)] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Newest first. `after`: only newer ones than the event of that number; `before`: only older ones."""
    return {
        "events": [
            {
                "number": number,
                "event_id": event.id,
                "user_id": event.user_id,
                "item_id": event.item_id,
                "type": event.type,
                "value": event.value,
                "time": event.time.isoformat(),
                "recommendation_id": event.recommendation_id,
            }
            for number, event in service.store.events.recent(limit, before=before, after=after)
        ]
    }


@router.get("/events/types", summary="The declared types of events", response_model=EventTypes)
def event_types(service: Serving) -> EventTypes:
    settings = service.config.events
    history = sorted({condition.type for condition in service.histories.conditions})
    return EventTypes(
        types=sorted(service.types),
        history=history,
        clicks=list(settings.clicks),
        conversions=list(settings.conversions),
    )


def _event(body: EventBody) -> UserEvent:
    return UserEvent(
        id=body.event_id or uuid.uuid4().hex,
        user_id=body.user_id,
        item_id=body.item_id,
        type=body.type,
        time=body.time or datetime.now(UTC),
        value=body.value,
        recommendation_id=body.recommendation_id,
        summary=body.summary,
        text=body.text,
    )


def _checked(service: Service, events: Sequence[UserEvent]) -> list[str]:
    """The users to create. Raises Refused for an unknown type, item or user."""
    types = {event.type for event in events} - service.types
    if types:
        known = ", ".join(sorted(service.types))
        raise Refused(422, f"the type {min(types)!r} is not declared. Fix: use one of {known}, or set events.types")
    items = list(dict.fromkeys(event.item_id for event in events))
    users = list(dict.fromkeys(event.user_id for event in events))
    missing_items, missing_users = service.store.events.missing(items, users)
    if service.config.events.auto_create and not missing_items:
        return missing_users
    missing = [*missing_items, *missing_users]
    if missing:
        kinds = (("items", missing_items), ("users", missing_users))
        what = " and ".join(f"unknown {name}: {len(ids):,}" for name, ids in kinds if ids)
        fix = "put them first, or set events.auto_create for users"
        raise Refused(422, f"{what}. Fix: {fix}", missing_ids=missing[:1000])
    return []
