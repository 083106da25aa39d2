"""Users: put, change, read, delete with all that is known of them, many at once."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from reckon.serving.routes.common import BULK_BODY, NOT_FOUND, REFUSALS, Serving, lines_of, unknown
from reckon.serving.schemas import Counted, Id, Page, UserBody, UserLine, UserReply
from reckon.serving.store.records import User

router = APIRouter(tags=["users"], responses=REFUSALS)
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.put("/users", summary="Put many users", response_model=Counted, openapi_extra=BULK_BODY)
async def put_users(request: Request, service: Serving) -> Counted:
    """One user a line: `{"id": "u1", "columns": {"city": "Lyon"}}`. All or none."""
    lines = await lines_of(request, UserLine, service.config.limits.bulk)
    users = list({line.id: User(line.id, line.columns) for line in lines}.values())
    await run_in_threadpool(service.store.users.put, users)
    return Counted(written=len(users))


@router.get("/users", summary="Read users, page by page", response_model=Page)
def get_users(service: Serving, after: Id | None = None, limit: Limit = 100) -> Page:
    found = service.store.users.page(after=after, limit=limit)
    return Page(items=[_reply(user) for user in found], next=found[-1].id if len(found) == limit else None)


@router.put("/users/{user_id:path}", summary="Put one user", response_model=UserReply)
def put_user(user_id: Id, body: UserBody, service: Serving) -> UserReply:
    service.store.users.put([User(user_id, body.columns)])
    return get_user(user_id, service)


@router.patch("/users/{user_id:path}", summary="Change one user", response_model=UserReply, responses=NOT_FOUND)
def patch_user(user_id: Id, body: UserBody, service: Serving) -> UserReply:
    def change(user: User) -> User:
        columns = {name: cell for name, cell in {**user.columns, **body.columns}.items() if cell is not None}
        return replace(user, columns=columns)

    changed = service.store.users.change(user_id, change)
    if changed is None:
        raise unknown("user", user_id)
    return _reply(changed)


@router.get("/users/{user_id:path}/history", summary="What the user did", responses=NOT_FOUND)
def history(user_id: Id, service: Serving, limit: Limit = 100) -> dict[str, list[dict[str, object]]]:
    """Events that belong to the history, oldest first."""
    if service.store.users.get(user_id) is None:
        raise unknown("user", user_id)
    events = service.store.events.of_user(user_id, limit=limit, conditions=service.histories.conditions)
    titles = service.store.items.some([event.item_id for event in events])
    return {
        "events": [
            {
                "item_id": event.item_id,
                "title": titles[event.item_id].title if event.item_id in titles else None,
                "type": event.type,
                "value": event.value,
                "time": event.time.isoformat(),
            }
            for event in events
        ]
    }


@router.get("/users/{user_id:path}", summary="Read one user", response_model=UserReply, responses=NOT_FOUND)
def get_user(user_id: Id, service: Serving) -> UserReply:
    user = service.store.users.get(user_id)
    if user is None:
        raise unknown("user", user_id)
    return _reply(user)


@router.delete("/users/{user_id:path}", summary="Delete one user, with events and answers", status_code=204,
               responses=NOT_FOUND)  # fmt: skip
def delete_user(user_id: Id, service: Serving) -> Response:
    if not service.store.users.delete([user_id]):
        raise unknown("user", user_id)
    return Response(status_code=204)


def _reply(user: User) -> UserReply:
    return UserReply(id=user.id, columns=dict(user.columns), updated=user.updated)
