"""Items: put, change, read, delete, many at once; similar, popular and latest ones."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from reckon.serving.answers.answering import ranked_items
from reckon.serving.models.snapshot import Selection
from reckon.serving.routes.common import BULK_BODY, NOT_FOUND, REFUSALS, Serving, lines_of, unknown
from reckon.serving.schemas import (
    Counted,
    Deleted,
    Id,
    ItemBody,
    ItemChange,
    ItemLine,
    ItemReply,
    ListReply,
    Page,
)
from reckon.serving.store.records import Item

router = APIRouter(tags=["items"], responses=REFUSALS)
Limit = Annotated[int, Query(ge=1, le=1000)]
K = Annotated[int, Query(ge=1, le=1000)]


@router.put("/items", summary="Put many items", response_model=Counted, openapi_extra=BULK_BODY)
async def put_items(request: Request, service: Serving) -> Counted:
    """One item a line: `{"id": "b07", "title": "The Quiet Harbour", "columns": {"genre": "sea"}}`. All or none."""
    lines = await lines_of(request, ItemLine, service.config.limits.bulk)
    items = list({line.id: Item(line.id, line.title, line.columns) for line in lines}.values())
    await run_in_threadpool(service.put_items, items)
    return Counted(written=len(items))


@router.get("/items", summary="Read items, page by page", response_model=Page)
def get_items(
    service: Serving,
    after: Id | None = None,
    limit: Limit = 100,
    search: Annotated[str | None, Query(max_length=256, description="A part of the title or id, in any case.")] = None,
) -> Page:
    """In the order of ids."""
    if search:
        ids = service.groups.first.snapshot.found(search, after=after, limit=limit)
        there = service.store.items.some(ids)
        found = [there[one] for one in ids if one in there]
        return Page(items=[_reply(item) for item in found], next=ids[-1] if len(ids) == limit else None)
    found = service.store.items.page(after=after, limit=limit)
    return Page(items=[_reply(item) for item in found], next=found[-1].id if len(found) == limit else None)


@router.delete("/items", summary="Delete many items", response_model=Deleted)
def delete_items(service: Serving, id: Annotated[list[Id], Query(min_length=1, max_length=1000)]) -> Deleted:
    return Deleted(deleted=service.delete_items(id))


@router.put("/items/{item_id:path}", summary="Put one item", response_model=ItemReply)
def put_item(item_id: Id, body: ItemBody, service: Serving) -> ItemReply:
    """The item is encoded at once, and can be recommended when the reply comes."""
    service.put_items([Item(item_id, body.title, body.columns)])
    return get_item(item_id, service)


@router.patch("/items/{item_id:path}", summary="Change one item", response_model=ItemReply, responses=NOT_FOUND)
def patch_item(item_id: Id, body: ItemChange, service: Serving) -> ItemReply:
    def change(item: Item) -> Item:
        columns = {name: cell for name, cell in {**item.columns, **body.columns}.items() if cell is not None}
        return replace(item, title=item.title if body.title is None else body.title, columns=columns)

    changed = service.change_item(item_id, change)
    if changed is None:
        raise unknown("item", item_id)
    return _reply(changed)


@router.get("/items/{item_id:path}/similar", summary="Similar items", response_model=ListReply, responses=NOT_FOUND)
def similar(item_id: Id, service: Serving, k: K = 10) -> ListReply:
    """By cosine of the item vectors of the first run."""
    snapshot = service.groups.first.snapshot
    if item_id not in snapshot:
        raise unknown("item", item_id)
    return ListReply(items=ranked_items(snapshot.similar([item_id], Selection(), k)))


@router.get("/items/{item_id:path}", summary="Read one item", response_model=ItemReply, responses=NOT_FOUND)
def get_item(item_id: Id, service: Serving) -> ItemReply:
    item = service.store.items.get(item_id)
    if item is None:
        raise unknown("item", item_id)
    return _reply(item)


@router.delete("/items/{item_id:path}", summary="Delete one item", status_code=204, responses=NOT_FOUND)
def delete_item(item_id: Id, service: Serving) -> Response:
    if not service.delete_items([item_id]):
        raise unknown("item", item_id)
    return Response(status_code=204)


@router.get("/popular", summary="Items with the most events", response_model=ListReply)
def popular(service: Serving, k: K = 10) -> ListReply:
    snapshot = service.groups.first.snapshot
    return ListReply(items=ranked_items(snapshot.popular(service.popularity.counts, Selection(), k)))


@router.get("/latest", summary="Items that came last", response_model=ListReply)
def latest(service: Serving, k: K = 10) -> ListReply:
    ids = service.store.items.latest(k)
    return ListReply(items=ranked_items(service.groups.first.snapshot.listed(ids)))


def _reply(item: Item) -> ItemReply:
    return ItemReply(id=item.id, title=item.title, columns=dict(item.columns), updated=item.updated)
