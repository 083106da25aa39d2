"""Requests to a teacher: rate limit, waiting times after failures, bounded retries.

Entry point: `Asker.ask`, called from several threads. Does not judge replies.
"""

import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from reckon.errors import ConfigError
from reckon.teachers.teacher import HINTED, Finish, Question, Teacher, TeacherFailure

LONGEST_HOLD = 600.0  # seconds; a server that asks for a longer wait counts as unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Settings of requests to a teacher. None of them changes a reply."""

    parallel: int = 8
    """Requests at the same time, >= 1."""

    requests_per_minute: float | None = None
    """Most requests per minute over all threads, > 0; None: no limit."""

    retries: int = 5
    """Most retries of a failed request, >= 0."""

    first_wait: float = 1.0
    """Seconds before the first retry, > 0; the wait doubles with each retry, up to `longest_wait`."""

    longest_wait: float = 60.0
    """Longest wait before a retry in seconds, >= first_wait. A Retry-After of the server may be longer."""

    give_up_after: int = 20
    """Number of consecutive failed rows after which the run stops, >= 1."""

    def __post_init__(self) -> None:
        for name, least in (("parallel", 1), ("retries", 0), ("give_up_after", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"--{name.replace('_', '-')}", getattr(self, name), f"must be at least {least}", "raise it"
                )
        if self.requests_per_minute is not None and not self.requests_per_minute > 0:
            raise ConfigError("--requests-per-minute", self.requests_per_minute, "must be positive", "leave it out")
        if not 0 < self.first_wait <= self.longest_wait:
            raise ConfigError("first_wait", self.first_wait, "must lie in (0, longest_wait]", "use 1 second")


@dataclass(frozen=True, slots=True)
class Answer:
    """Outcome of one question: a reply, or the kind of failure that remained after all retries."""

    row: int
    attempt: int
    """As `Question.attempt`: PLAIN, HINTED or CHECK."""
    text: str = ""
    finish: Finish = "stop"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    failure: str | None = None
    detail: str = ""
    requests: int = 1

    @property
    def hinted(self) -> bool:
        return self.attempt == HINTED


class Stopped(Exception):
    """The run is stopping; the question got no answer."""


class Asker:
    """Sends questions of many threads to one teacher under one rate limit."""

    def __init__(self, teacher: Teacher, patience: Patience, seed: int, stopping: threading.Event) -> None:
        self.teacher, self.patience, self.seed, self.stopping = teacher, patience, seed, stopping
        self._pace = Pace(patience.requests_per_minute, stopping)

    def ask(self, question: Question) -> Answer:
        """Answer one question. Raises TeacherRefused, or Stopped when the run is stopping."""
        attempt = question.attempt
        jitter = random.Random(f"{self.seed} {question.row} {attempt}")
        for retry in range(self.patience.retries + 1):
            self._pace.wait()
            try:
                reply = self.teacher.ask(question)
            except TeacherFailure as failure:
                hold = failure.retry_after or 0.0
                if not failure.again or retry == self.patience.retries or hold > LONGEST_HOLD:
                    return Answer(
                        question.row, attempt, failure=failure.kind, detail=failure.detail, requests=retry + 1
                    )
                if failure.retry_after is not None:
                    self._pace.hold(hold)  # rate limits apply to the key, so all threads wait
                self._sleep(waiting_time(self.patience, retry, failure.retry_after, jitter))
            else:
                tokens = reply.prompt_tokens, reply.completion_tokens
                return Answer(question.row, attempt, reply.text, reply.finish, *tokens, requests=retry + 1)
        raise AssertionError("unreachable: the last retry returns")

    def _sleep(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise Stopped


class Pace:
    """Spaces the requests of all threads evenly, and delays all of them when the server asks for it."""

    def __init__(self, per_minute: float | None, stopping: threading.Event) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0  # seconds
        self._stopping = stopping
        self._lock = threading.Lock()
        self._next = self._held_until = 0.0

    def wait(self) -> None:
        """Wait until a request may be sent. Raises Stopped when the run is stopping."""
        with self._lock:
            turn = max(time.monotonic(), self._next, self._held_until)
            self._next = turn + self._gap
        while (left := max(turn, self._held_until) - time.monotonic()) > 0:
            if self._stopping.wait(left):
                break
        if self._stopping.is_set():
            raise Stopped

    def hold(self, seconds: float) -> None:
        """Delay all requests by this many seconds."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)


def waiting_time(patience: Patience, retry: int, asked_for: float | None, jitter: Any) -> float:
    """Seconds before the next retry: exponential backoff with jitter, at least what the server asked for.

    Args:
        retry: 0 after the first failure.
        asked_for: the server's Retry-After in seconds; a lower bound.
        jitter: a `random.Random`.
    """
    grown = min(patience.longest_wait, patience.first_wait * 2.0 ** min(retry, 60))
    if asked_for is not None:
        return float(asked_for + 0.1 * patience.first_wait * jitter.random())
    return float(grown * (0.5 + 0.5 * jitter.random()))
