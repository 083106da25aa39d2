"""A request for recommendations, from its body to the reply: user or history, selection, chain, what is kept.

Entry points: `understood`, then `answered`; `explained` for an earlier answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from reckon.serving.answers.chain import Given, Wanted
from reckon.serving.http.errors import Refused
from reckon.serving.models.filters import Filter
from reckon.serving.models.snapshot import Past, Selection
from reckon.serving.models.snapshot import Ranked as RankedItems
from reckon.serving.schemas import (
    ExplainReply,
    HistoryEvent,
    PassedStep,
    Ranked,
    Reasoned,
    RecommendBody,
    RecommendReply,
)
from reckon.serving.service import Service
from reckon.serving.store.records import Answer


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be answered."""

    k: int
    """Items of the page."""
    wanted: Wanted | None
    """None for the next page of an earlier answer."""
    earlier: str | None = None
    """Id of that answer."""
    scenario: str | None = None


async def understood(service: Service, body: RecommendBody) -> Asked:
    """A request, with what the store knows of its user.

    Raises:
        Refused: it contradicts itself, or names something unknown.
    """
    k = body.k or service.config.recommend.k
    if k > service.config.recommend.most:
        raise Refused(422, f"k = {k}: a page has at most {service.config.recommend.most} items. Fix: ask for less")
    given_by = [name for name in ("user_id", "history", "recommendation_id") if getattr(body, name) is not None]
    if len(given_by) != 1:
        raise Refused(422, "give exactly one of user_id, history and recommendation_id")
    if body.recommendation_id is not None:
        await asyncio.to_thread(_earlier, service, body.recommendation_id)
        return Asked(k, None, body.recommendation_id)
    return Asked(k, await asyncio.to_thread(wanted_of, service, body, k), scenario=body.scenario)


async def answered(
    service: Service, asked: Asked, on_text: Callable[[str], None] | None = None
) -> tuple[RecommendReply, int]:
    """The reply to a request, and how many tokens of reasoning were written for it.

    Args:
        service: the service.
        asked: the request.
        on_text: called with each piece of the reasoning.

    Raises:
        Refused: the earlier answer is gone.
        FullQueue: too many requests wait for the model.
    """
    if asked.wanted is None:
        return await asyncio.to_thread(_next_page, service, asked.earlier or "", asked.k), 0
    given = await service.chain.answer(asked.wanted, on_text)
    returned = min(asked.k, len(given.ranked.ids))
    answer = await asyncio.to_thread(service.keep, given, asked.wanted, returned, asked.scenario)
    return _reply(service, answer, given, asked.k), given.tokens


def wanted_of(service: Service, body: RecommendBody, k: int) -> Wanted:
    """What a request wants, with the user's history from the store."""
    settings = service.config.recommend
    if body.user_id is not None:
        history = service.past_of(body.user_id)
    else:
        history = [_past(event) for event in body.history or ()]
        known = service.groups.first.snapshot.rows
        unknown = [past.item_id for past in history if past.item_id not in known]
        if unknown:
            raise Refused(422, f"{len(unknown):,} items of the history are unknown", missing_ids=unknown[:1000])
    selection = Selection(
        exclude=frozenset(body.exclude_ids),
        filter=None if body.filter is None else _filter(service, body.filter),
        seen=history,
        policy=settings.seen,
        fade_days=settings.fade_days,
        fade_penalty=settings.fade_penalty,
    )
    return Wanted(
        user_id=body.user_id,
        history=history,
        selection=selection,
        k=max(k, settings.kept),
        reasoning=body.reasoning or settings.reasoning,
        deadline_ms=settings.deadline_ms if body.deadline_ms is None else body.deadline_ms,
    )


def ranked_items(ranked: RankedItems, k: int | None = None) -> list[Ranked]:
    """The first k ranked items as replies show them; None: all."""
    return [
        Ranked(id=one, title=title, score=score, parts={name: values[row] for name, values in ranked.parts.items()})
        for row, (one, title, score) in enumerate(
            zip(ranked.ids[:k], ranked.titles[:k], ranked.scores[:k], strict=True)
        )
    ]


def explained(service: Service, answer: Answer) -> ExplainReply:
    """What an answer came from."""
    titles = service.store.items.some(list(dict.fromkeys([*answer.history, *answer.items])))
    return ExplainReply(
        recommendation_id=answer.id,
        user_id=answer.user_id,
        source=answer.source,
        model=answer.model,
        group=answer.group,
        created=answer.created,
        reasoning=None if answer.reasoning is None else Reasoned(text=answer.reasoning, truncated=answer.truncated),
        history=[{"id": one, "title": titles[one].title if one in titles else ""} for one in answer.history],
        items=[
            Ranked(id=one, title=titles[one].title if one in titles else "", score=score, parts=parts)
            for one, score, parts in zip(answer.items, answer.scores, _by_item(answer), strict=True)
        ][: answer.returned],
    )


def _by_item(answer: Answer) -> list[dict[str, float]]:
    return [{name: values[row] for name, values in answer.parts.items()} for row in range(len(answer.items))]


def _past(event: str | HistoryEvent) -> Past:
    return Past(event) if isinstance(event, str) else Past(event.item_id, event.time, event.rating)


def _filter(service: Service, text: str) -> Filter:
    found = Filter.parse(text)
    for run in service.groups.runs:  # an unknown column is refused here, and not by some step of the chain
        found.mask(run.model.catalog.table.slice(0, 1))
    return found


def _earlier(service: Service, answer_id: str) -> None:
    if service.store.answers.get(answer_id) is None:
        raise _unknown(answer_id)


def _unknown(answer_id: str) -> Refused:
    return Refused(404, "there is no answer with this recommendation_id, or it is too old", missing_ids=[answer_id])


def _next_page(service: Service, answer_id: str, k: int) -> RecommendReply:
    found = service.next_page(answer_id, k)
    if found is None:
        raise _unknown(answer_id)
    answer, begin = found
    titles = service.store.items.some(answer.items[begin : answer.returned])
    parts = _by_item(answer)
    items = [
        Ranked(id=one, title=titles[one].title, score=answer.scores[row], parts=parts[row])
        for row, one in enumerate(answer.items)
        if begin <= row < answer.returned and one in titles  # a deleted item is left out
    ]
    return RecommendReply(
        recommendation_id=answer.id,
        source=answer.source,  # type: ignore[arg-type]
        passed=[],
        items=items,
        reasoning=None,
        model=answer.model,
        version=answer.version,
        data_version=service.data_version,
        group=answer.group,
        timings_ms={},
    )


def _reply(service: Service, answer: Answer, given: Given, k: int) -> RecommendReply:
    told = given.told
    return RecommendReply(
        recommendation_id=answer.id,
        source=given.source,
        passed=[PassedStep(step=step, why=why) for step, why in given.passed],
        items=ranked_items(given.ranked, k),
        reasoning=None
        if told is None
        else Reasoned(text=told.text, truncated=told.truncated, written=told.written, stale=told.stale),
        model=given.run.name,
        version=given.run.version,
        data_version=service.data_version,
        group=given.group,
        timings_ms=given.timings,
    )
