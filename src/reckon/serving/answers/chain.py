"""The chain of answers: live reasoning, reasoning written in advance, the prompt alone, similar items, popular items.

Entry point: `Chain.answer`. A step that cannot answer, or not before the deadline, says why, and the next one answers;
the reply names both. The last step always answers.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from reckon.data import Example
from reckon.serving.answers.popularity import Popularity
from reckon.serving.config import Reasoning, ServiceConfig
from reckon.serving.metrics import Metrics
from reckon.serving.models.groups import Groups
from reckon.serving.models.served_run import ServedRun
from reckon.serving.models.snapshot import Past, Ranked, Selection
from reckon.serving.models.worker import FullQueue, ModelWorker
from reckon.serving.store.records import WrittenReasoning
from reckon.serving.store.store import Store

T = TypeVar("T")
Source = Literal["live", "cached", "direct", "similar", "popular"]
CHAIN: tuple[Source, ...] = ("live", "cached", "direct", "similar", "popular")
FIRST: dict[Reasoning, Source] = {"live": "live", "cached": "cached", "none": "direct"}
DIRECT_RESERVE = 2.0  # a live reasoning leaves so many usual times of the direct step before the deadline
USUAL_S = 0.05  # seconds of the direct step before one was measured
SMOOTHING = 0.2  # weight of the newest measurement


class Passed(Exception):
    """A step cannot answer; the text says why, in a few words that are the same for every such case."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request, with what is known of its user."""

    user_id: str | None
    history: Sequence[Past]
    """Oldest first."""
    selection: Selection
    k: int
    """Items to rank."""
    reasoning: Reasoning
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Told:
    """Reasoning behind an answer."""

    text: str
    truncated: bool
    written: datetime | None = None
    """When, where it was written in advance."""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """An answer."""

    ranked: Ranked
    source: Source
    run: ServedRun
    group: str | None
    passed: Sequence[tuple[Source, str]]
    """Steps that could not answer, and why."""
    told: Told | None
    timings: dict[str, float]
    """Milliseconds: `queue` until the model began, `model` until it was done, `total`."""
    tokens: int = 0
    """Tokens of reasoning written for it."""
    vector: Tensor | None = None


class Chain:
    """Answers requests for one service."""

    def __init__(
        self,
        config: ServiceConfig,
        store: Store,
        groups: Groups,
        worker: ModelWorker,
        popularity: Popularity,
        metrics: Metrics,
    ) -> None:
        self._config, self._store, self._groups = config, store, groups
        self._worker, self._popularity, self._metrics = worker, popularity, metrics
        self._direct_s = USUAL_S

    async def answer(self, wanted: Wanted, on_text: Callable[[str], None] | None = None) -> Given:
        """Ask one step after another.

        Args:
            wanted: the request.
            on_text: called with each piece of the reasoning, from the model's thread or this one.

        Raises:
            FullQueue: the model is busy and no deadline says how long to wait.
        """
        began, passed = time.perf_counter(), list[tuple[Source, str]]()
        run, group = self._groups.of_user(wanted.user_id)
        call = _Call(wanted, run, began, on_text)
        for step in CHAIN[CHAIN.index(FIRST[wanted.reasoning]) :]:
            try:
                given = await getattr(self, f"_{step}")(call)
            except Passed as why:
                passed.append((step, str(why)))
                self._metrics.fallbacks.labels(step, str(why)).inc()
                continue
            seconds = time.perf_counter() - began
            self._metrics.answers.labels(step, group or "").inc()
            self._metrics.answer_seconds.labels(step).observe(seconds)
            timings = {**given.timings, "total": round(1000 * seconds, 3)}
            return replace(given, group=group, passed=passed, timings=timings)
        raise AssertionError("the last step answers")

    # -- the steps ----------------------------------------------------------------------------------------------

    async def _live(self, call: "_Call") -> Given:
        example = self._example(call)
        if not call.run.reasons:
            raise Passed("the model does not reason")
        try:
            reply = self._worker.reply(call.run, example, call.on_text)
        except FullQueue:
            if not call.wanted.deadline_ms:
                raise
            raise Passed("the queue is full") from None
        try:
            written = await call.within(reply.future, reserve=DIRECT_RESERVE * self._direct_s)
        finally:
            reply.drop()  # also where the caller has gone
        timings = {"queue": _ms(reply.began, reply.asked), "model": _ms(time.perf_counter(), reply.began)}
        told = Told(written.reasoning, written.truncated)
        return await self._ranked("live", call, written.vector, told, timings, written.tokens)

    async def _cached(self, call: "_Call") -> Given:
        user_id = call.wanted.user_id
        if user_id is None:
            raise Passed("the history is anonymous")
        found = await asyncio.to_thread(self._store.nearline.get, user_id, model_of(call.run))
        why = self._unusable(found)
        self._metrics.cache.labels(why or ("stale" if found is not None and found.stale else "hit")).inc()
        if found is None or why is not None:
            raise Passed(f"the reasoning is {why}")
        vector = torch.from_numpy(np.frombuffer(found.vector, dtype="<f4").copy())
        if call.on_text is not None and found.text:
            call.on_text(found.text)
        return await self._ranked(
            "cached", call, vector, Told(found.text, found.truncated, found.created, found.stale), {}
        )

    async def _direct(self, call: "_Call") -> Given:
        example, asked = self._example(call), time.perf_counter()
        try:
            future = self._worker.direct(call.run, example)
        except FullQueue:
            raise Passed("the queue is full") from None
        vector = await call.within(future)
        seconds = time.perf_counter() - asked
        self._direct_s += SMOOTHING * (seconds - self._direct_s)
        return await self._ranked("direct", call, vector, None, {"model": round(1000 * seconds, 3)})

    async def _similar(self, call: "_Call") -> Given:
        latest = [past.item_id for past in call.wanted.history if past.item_id in call.run.snapshot.rows]
        if not latest:
            raise Passed("the user has no history")
        latest = latest[-self._config.recommend.neighbours :]
        wanted = call.wanted
        ranked = await asyncio.to_thread(call.run.snapshot.similar, latest, wanted.selection, wanted.k)
        if not ranked.ids:
            raise Passed("no item is left")
        return Given(ranked, "similar", call.run, None, (), None, {})

    async def _popular(self, call: "_Call") -> Given:
        counts = self._popularity.counts
        wanted = call.wanted
        ranked = await asyncio.to_thread(call.run.snapshot.popular, counts, wanted.selection, wanted.k)
        return Given(ranked, "popular", call.run, None, (), None, {})

    # -- parts --------------------------------------------------------------------------------------------------

    def _example(self, call: "_Call") -> Example:
        """The history as the model reads it. Raises Passed where nothing of it is known."""
        now = int(time.time()) if self._config.recommend.now == "clock" else None
        example = call.run.example(call.wanted.history, now)
        if not example.history:
            raise Passed("the user has no history")
        return example

    def _unusable(self, found: WrittenReasoning | None) -> str | None:
        """Why a reasoning of the store cannot be used."""
        if found is None:
            return "missing"
        if datetime.now(UTC) - found.created > timedelta(hours=self._config.nearline.ttl_hours):
            return "expired"
        if found.stale and not self._config.nearline.stale:
            return "stale"
        return None

    async def _ranked(
        self,
        source: Source,
        call: "_Call",
        vector: Tensor,
        told: Told | None,
        timings: dict[str, float],
        tokens: int = 0,
    ) -> Given:
        wanted = call.wanted
        ranked = await asyncio.to_thread(call.run.snapshot.rank, vector, wanted.selection, wanted.k)
        return Given(ranked, source, call.run, None, (), told, timings, tokens, vector)


@dataclass(frozen=True, slots=True)
class _Call:
    """A request on its way through the chain."""

    wanted: Wanted
    run: ServedRun
    began: float
    on_text: Callable[[str], None] | None

    async def within(self, future: "Future[T]", reserve: float = 0.0) -> T:
        """The result of the model's thread. Raises Passed at the deadline, less `reserve` seconds."""
        left = None
        if self.wanted.deadline_ms:
            left = self.began + self.wanted.deadline_ms / 1000 - reserve - time.perf_counter()
            if left <= 0:
                future.cancel()
                raise Passed("the deadline is too near")
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), left)
        except TimeoutError:
            raise Passed("the deadline has passed") from None


def model_of(run: ServedRun) -> str:
    """The name under which the store keeps what a run has written: another run's vectors mean nothing to it."""
    return f"{run.name}@{run.version}"


def _ms(end: float | None, start: float | None) -> float:
    return round(1000 * (end - start), 3) if end is not None and start is not None else 0.0
