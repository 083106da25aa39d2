"""The one thread that computes with language models: it batches what many requests want at once.

Entry point: `ModelWorker`. A reasoning joins the others between two tokens and leaves as soon as it has ended or nobody
waits for it; histories to be ranked without reasoning are read together, between two tokens, too. Requests that wait
come before the background's.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from reckon.data import Example
from reckon.errors import ReckonError
from reckon.methods.reading import StreamedReasoning
from reckon.rollout.decoding import Decoding
from reckon.serving.models.served_run import ServedRun

E = TypeVar("E")  # an example
W = TypeVar("W")  # what a reply to it is read as
E_contra = TypeVar("E_contra", contravariant=True)
W_co = TypeVar("W_co", covariant=True)
log = logging.getLogger(__name__)
DIRECT_AT_ONCE = 64  # histories of one forward pass without reasoning
MOST_COHORTS = 4  # a step costs one pass for each cohort, so further requests wait, and begin together


class FullQueue(ReckonError):
    """More requests wait for the model than may."""


class Stopping(ReckonError):
    """The worker ends, and answers no more."""

    def __init__(self) -> None:
        super().__init__("the service is stopping. Fix: ask again in a moment.")


class Watch(Protocol):
    """Where the worker counts what it does."""

    def batch(self, kind: str, rows: int) -> None: ...
    def tokens(self, count: int) -> None: ...


class Writer(Protocol[E_contra, W_co]):
    """Writes replies about examples, and reads what it wrote."""

    def begin(self, examples: Sequence[E_contra]) -> Decoding: ...
    def shown(self, written: list[int], ended: bool) -> str: ...
    def written(self, example: E_contra, decoding: Decoding, row: int) -> W_co: ...


@dataclass(eq=False, slots=True)
class Reply(Generic[E, W]):
    """A reply that somebody waits for."""

    run: Writer[E, W]
    example: E
    on_text: Callable[[str], None] | None
    """Called by the worker with each new piece; must return at once."""
    future: "Future[W]" = field(default_factory=Future)
    asked: float = field(default_factory=time.perf_counter)
    began: float | None = None
    dropped: bool = False
    streamed: StreamedReasoning | None = None

    def drop(self) -> None:
        """Nobody waits any more: the reply ends at the next token."""
        self.dropped = True
        self.future.cancel()


@dataclass(eq=False, slots=True)
class _Direct:
    run: ServedRun
    example: Example
    future: "Future[Tensor]" = field(default_factory=Future)


@dataclass(eq=False, slots=True)
class _Call:
    work: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


@dataclass(eq=False, slots=True)
class _Cohort:
    """Replies that began together; each row is a reply."""

    run: Writer[Any, Any]
    decoding: Decoding
    replies: list[Reply[Any, Any] | None]
    """None where the reply has ended."""

    @property
    def growing(self) -> int:
        return sum(reply is not None for reply in self.replies)


class ModelWorker:
    """Runs until `stop`."""

    def __init__(self, *, rows: int, queue: int, watch: Watch) -> None:
        """At most `rows` replies grow at once and `queue` requests wait."""
        self._rows, self._queue, self._watch = rows, queue, watch
        self._work = threading.Condition()
        self._waiting: deque[Reply[Any, Any]] = deque()
        self._background: deque[Reply[Any, Any]] = deque()
        self._directs: deque[_Direct] = deque()
        self._calls: deque[_Call] = deque()
        self._cohorts: list[_Cohort] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="model", daemon=True)

    # -- what any thread may call -------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End; whoever waits is told so."""
        with self._work:
            self._stopping = True
            self._work.notify_all()
        self._thread.join()

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting) + len(self._directs)

    @property
    def growing(self) -> int:
        """Replies that are being written."""
        return sum(cohort.growing for cohort in self._cohorts)

    def reply(
        self,
        run: Writer[E, W],
        example: E,
        on_text: Callable[[str], None] | None = None,
        *,
        background: bool = False,
    ) -> Reply[E, W]:
        """Ask for a reply about an example.

        Raises:
            FullQueue: too many requests wait.
        """
        reply = Reply(run, example, on_text)
        if on_text is not None:
            reply.streamed = StreamedReasoning(run.shown)
        self._put(self._background if background else self._waiting, reply, limited=not background)
        return reply

    def direct(self, run: ServedRun, example: Example) -> "Future[Tensor]":
        """Ask for the user vector [D] of a history without reasoning.

        Raises:
            FullQueue: too many requests wait.
        """
        direct = _Direct(run, example)
        self._put(self._directs, direct, limited=True)
        return direct.future

    def call(self, work: Callable[[], Any]) -> "Future[Any]":
        """Run something in the thread, between two tokens."""
        call = _Call(work)
        self._put(self._calls, call, limited=False)
        return call.future

    def _put(self, queue: "deque[Any]", job: Any, *, limited: bool) -> None:
        with self._work:
            if self._stopping:
                raise Stopping()
            if limited and self.waiting >= self._queue:
                raise FullQueue(f"{self._queue:,} requests wait for the model. Fix: ask again in a moment.")
            queue.append(job)
            self._work.notify()

    # -- the thread ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _loop(self) -> None:
        while True:
            with self._work:
                while not (self._stopping or self._calls or self._directs or self._waiting or self._background):
                    if self._cohorts:
                        break
                    self._work.wait()
                if self._stopping:
                    break
                calls, self._calls = list(self._calls), deque()
                directs, self._directs = list(self._directs), deque()
                begun = self._admitted()
            for call in calls:
                _settle([call.future], partial(_one, call.work))
            self._read_directs(directs)
            self._begin(begun)
            for cohort in list(self._cohorts):
                self._step(cohort)
        self._end()

    def _admitted(self) -> list[Reply[Any, Any]]:
        """The next replies that fit; those in the background only where no request waits."""
        begun: list[Reply[Any, Any]] = []
        room = self._rows - self.growing if len(self._cohorts) < MOST_COHORTS else 0
        while len(begun) < room and (self._waiting or self._background):
            reply = (self._waiting or self._background).popleft()
            if not reply.dropped:
                begun.append(reply)
        return begun

    def _read_directs(self, directs: Sequence[_Direct]) -> None:
        for run, group in _by_run(direct for direct in directs if not direct.future.cancelled()):
            for start in range(0, len(group), DIRECT_AT_ONCE):
                part = group[start : start + DIRECT_AT_ONCE]
                self._watch.batch("direct", len(part))
                _settle([job.future for job in part], partial(_directs, run, [job.example for job in part]))

    def _begin(self, replies: Sequence[Reply[Any, Any]]) -> None:
        for run, group in _by_run(replies):
            try:
                decoding = run.begin([reply.example for reply in group])
            except Exception as error:
                _fail(group, error)
                continue
            for reply in group:
                reply.began = time.perf_counter()
            self._cohorts.append(_Cohort(run, decoding, list(group)))

    def _step(self, cohort: _Cohort) -> None:
        """One token for every reply of a cohort; those that have ended are read and leave."""
        gone = [row for row, reply in enumerate(cohort.replies) if reply is not None and reply.dropped]
        if gone:
            cohort.decoding.drop(gone)
            for row in gone:
                cohort.replies[row] = None
        try:
            if cohort.growing:
                self._watch.batch("live", cohort.growing)
                self._watch.tokens(cohort.growing)
                self._tell(cohort, cohort.decoding.step().tolist())
                growing = cohort.decoding.growing.tolist()
                for row, reply in enumerate(cohort.replies):
                    if reply is not None and not growing[row]:
                        self._deliver(cohort, row, reply)
        except Exception as error:
            _fail([reply for reply in cohort.replies if reply is not None], error)
            cohort.replies = [None] * len(cohort.replies)
        if not cohort.growing:
            self._cohorts.remove(cohort)

    def _tell(self, cohort: _Cohort, tokens: list[int]) -> None:
        """Pass on the pieces of text that have become complete."""
        for reply, token in zip(cohort.replies, tokens, strict=True):
            if reply is not None and reply.streamed is not None and token >= 0:
                _say(reply, reply.streamed.add(token))

    def _deliver(self, cohort: _Cohort, row: int, reply: Reply[Any, Any]) -> None:
        cohort.replies[row] = None
        if reply.streamed is not None:
            _say(reply, reply.streamed.end())
        _settle([reply.future], lambda: [cohort.run.written(reply.example, cohort.decoding, row)])

    def _end(self) -> None:
        left: list[Any] = [reply for cohort in self._cohorts for reply in cohort.replies if reply is not None]
        left += [*self._waiting, *self._background, *self._directs, *self._calls]
        _fail(left, Stopping())


def _one(work: Callable[[], Any]) -> list[Any]:
    return [work()]


def _directs(run: ServedRun, examples: Sequence[Example]) -> list[Tensor]:
    return list(run.direct(examples).float().cpu())


def _by_run(jobs: Iterable[Any]) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = {}
    for job in jobs:
        groups.setdefault(job.run, []).append(job)
    return list(groups.items())


def _say(reply: Reply[Any, Any], text: str) -> None:
    if text and reply.on_text is not None and not reply.dropped:
        reply.on_text(text)


def _settle(futures: Sequence["Future[Any]"], work: Callable[[], Sequence[Any]]) -> None:
    """Give each future its result, or all of them the error."""
    try:
        results = work()
    except Exception as error:
        for future in futures:
            with suppress(InvalidStateError):  # cancelled meanwhile
                future.set_exception(error)
        return
    for future, result in zip(futures, results, strict=True):
        with suppress(InvalidStateError):
            future.set_result(result)


def _fail(jobs: Sequence[Any], error: Exception) -> None:
    if not isinstance(error, ReckonError):
        log.exception("the model failed")
    for job in jobs:
        with suppress(InvalidStateError):
            job.future.set_exception(error)
