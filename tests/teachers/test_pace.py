"""Requests to a teacher: retries, waits, Retry-After, and requests per minute."""

import random
import threading
import time
from dataclasses import replace

import pytest
from support.classroom import QUICK, completion, reply
from support.trace_runs import SETTINGS, run, truths

from reckon.teachers.asking import Pace, Patience, waiting_time


def test_retries_are_bounded(books, tmp_path):
    settings = replace(SETTINGS, rows=1)
    summary, server = run(books, lambda answer, *_: answer.json({}, 500), tmp_path / "traces", settings)
    assert sum(server.asked.values()) == QUICK.retries + 1
    assert summary.dropped == {"failed: server error": 1}


def test_retry_after_delays_all_threads(books, tmp_path, monkeypatch):
    """The server answers nobody until the client has read the 429; from then on nothing is sent for 0.4 seconds."""
    truth, held, refused = truths(books), threading.Event(), threading.Lock()
    hold = Pace.hold
    monkeypatch.setattr(Pace, "hold", lambda pace, seconds: (hold(pace, seconds), held.set()))

    def behaviour(answer, prompt, nth):
        if refused.acquire(blocking=False):  # the first request, whichever it is; never released
            return answer.json({}, 429, {"Retry-After": "0.4"})
        held.wait(120)
        answer.json(completion(reply(truth[prompt])))

    # The client's time limit is long: it must not give up a request that the server holds on purpose.
    settings = replace(SETTINGS, rows=12)
    _, server = run(books, behaviour, tmp_path / "traces", settings, timeout=120)
    late = [moment - server.times[0] >= 0.4 for moment in server.times]
    assert len(late) == 13  # every row once, and the refused one again
    assert sum(late) >= 13 - QUICK.parallel


def test_requests_per_minute_space_the_requests(books, tmp_path):
    truth = truths(books)
    settings = replace(SETTINGS, rows=6, patience=replace(QUICK, requests_per_minute=600))
    began = time.monotonic()  # before the first request, which the server may notice late
    _, server = run(books, lambda a, prompt, nth: a.json(completion(reply(truth[prompt]))), tmp_path / "t", settings)
    assert server.times[-1] - began >= 5 * 0.1 - 1e-6


def test_a_pace_allows_one_request_per_gap_and_none_during_a_hold(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    pace, moments = Pace(1200, clock), []
    for request in range(6):
        pace.wait()
        moments.append(clock.now)
        if request == 3:
            pace.hold(0.5)
    assert moments == pytest.approx([0, 0.05, 0.1, 0.15, 0.65, 0.7])


class Clock:
    """Stands for the event that a run is stopping: it never is, and waiting for it takes no time but the clock's."""

    now = 0.0

    def wait(self, seconds):
        self.now += seconds

    def is_set(self):
        return False


def test_waits_grow_within_bounds_and_respect_retry_after():
    patience = Patience(first_wait=1.0, longest_wait=8.0)
    waits = [waiting_time(patience, retry, None, random.Random(0)) for retry in range(8)]
    assert waits == [waiting_time(patience, retry, None, random.Random(0)) for retry in range(8)]
    assert all(0.5 * min(8, 2**retry) <= wait <= min(8, 2**retry) for retry, wait in enumerate(waits))
    assert 30 <= waiting_time(patience, 0, 30.0, random.Random(0)) <= 30.1
