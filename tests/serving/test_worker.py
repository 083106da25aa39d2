"""The model's thread: requests share its passes, come between two tokens, and leave as soon as nobody waits."""

import threading

import pytest
from support import serving
from support.waiting import wait_for

from reckon.errors import ReckonError
from reckon.serving.metrics import Metrics
from reckon.serving.models.snapshot import Past
from reckon.serving.models.worker import FullQueue, ModelWorker


class Watch:
    """What the worker says it did."""

    def __init__(self):
        self.batches, self.written = [], 0

    def batch(self, kind, rows):
        self.batches.append((kind, rows))

    def tokens(self, count):
        self.written += count


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return serving.untrained(tmp_path_factory.mktemp("worker"))


@pytest.fixture
def gate(monkeypatch, run):
    gate = serving.Gate(monkeypatch, run)
    yield gate
    gate.open()


@pytest.fixture
def start(gate):
    """Starts a worker: `start(rows=2, queue=8)`."""
    started = []

    def make(rows=8, queue=64):
        worker = ModelWorker(rows=rows, queue=queue, watch=Watch())
        worker.start()
        started.append(worker)
        return worker

    yield make
    gate.open()
    for worker in started:
        worker.stop()


def example(run, *items):
    return run.example([Past(f"b{item:02d}") for item in items])


def expected(run, *items):
    """Reasoning and vector of a history read alone."""
    read = run.model.reading([example(run, *items)])
    return read.reasonings[0], read.queries[0]


def same(written, run, *items):
    reasoning, vector = expected(run, *items)
    assert written.reasoning == reasoning
    assert (written.vector - vector.float()).abs().max() < 1e-3


def test_a_reply_is_that_of_the_model_alone(run, start):
    worker = start()
    same(worker.reply(run, example(run, 1, 2, 3)).future.result(60), run, 1, 2, 3)


def test_pieces_of_a_reply_add_up_to_its_reasoning(run, start):
    pieces = []
    written = start().reply(run, example(run, 1, 2, 3), pieces.append).future.result(60)
    assert len(pieces) > 2 and "".join(pieces) == written.reasoning


def test_replies_asked_together_grow_together_and_are_those_of_each_alone(run, start, gate):
    worker = start()
    gate.close()
    first = worker.reply(run, example(run, 0))  # held, so that the others come together
    gate.holds("reading")
    others = [worker.reply(run, example(run, item, item + 1)) for item in range(1, 5)]
    gate.open()
    same(first.future.result(60), run, 0)
    for item, reply in enumerate(others, start=1):
        same(reply.future.result(60), run, item, item + 1)
    assert ("live", 4) in worker._watch.batches


def test_a_reply_joins_while_another_grows(run, start, gate):
    worker = start()
    gate.close()
    first = worker.reply(run, example(run, 1, 2))
    gate.let("reading")
    gate.let()
    gate.holds("token")
    second = worker.reply(run, example(run, 3, 4))
    gate.let()  # of the first
    gate.let("reading")  # of the second, between two tokens
    gate.holds("token")
    assert worker.growing == 2 and not first.future.done()
    gate.open()
    same(first.future.result(60), run, 1, 2)
    same(second.future.result(60), run, 3, 4)


def test_histories_without_reasoning_are_read_together_between_two_tokens(run, start, gate):
    worker = start()
    gate.close()
    reply = worker.reply(run, example(run, 1, 2))
    gate.let("reading")
    gate.holds("token")
    vectors = [worker.direct(run, example(run, item)) for item in range(5)]
    gate.let()
    found = [vector.result(60) for vector in vectors]
    assert not reply.future.done() and ("direct", 5) in worker._watch.batches
    for item, vector in enumerate(found):
        assert (vector - run.direct([example(run, item)])[0].float()).abs().max() < 1e-3


def test_a_dropped_reply_frees_its_row_before_the_next_token(run, start, gate):
    worker = start(rows=1)
    gate.close()
    gone = worker.reply(run, example(run, 1, 2))
    gate.let("reading")
    gate.let()
    gate.holds("token")
    gone.drop()
    next_one = worker.reply(run, example(run, 3))
    gate.let()  # the token that was under way
    gate.let("reading")  # the next reply begins at once, though there is one row
    gate.open()
    same(next_one.future.result(60), run, 3)


def test_a_reply_dropped_while_its_prompt_is_read_gets_no_token(run, start, gate):
    worker = start()
    gate.close()
    gone = worker.reply(run, example(run, 1, 2))
    gate.holds("reading")
    gone.drop()
    gate.open()
    worker.call(lambda: None).result(60)
    wait_for(lambda: worker.growing == 0)
    assert worker._watch.written == 0 and gate.tokens == 0


def test_a_reply_dropped_while_it_waits_is_never_begun(run, start, gate):
    worker = start(rows=1)
    gate.close()
    first = worker.reply(run, example(run, 1))
    gate.let("reading")
    gone = worker.reply(run, example(run, 2))
    gone.drop()
    gate.open()
    first.future.result(60)
    worker.call(lambda: None).result(60)
    assert worker._watch.written == gate.tokens  # one row at any time


def test_a_dropped_reply_leaves_the_others_of_its_cohort_alone(run, start, gate):
    worker = start()
    gate.close()
    blocker = worker.reply(run, example(run, 0))
    gate.holds("reading")
    kept, gone = worker.reply(run, example(run, 1, 2)), worker.reply(run, example(run, 3, 4))
    gate.let("reading")
    gate.let()  # of the blocker
    gate.let("reading")
    gate.holds("token")
    gone.drop()
    gate.open()
    same(kept.future.result(60), run, 1, 2)
    same(blocker.future.result(60), run, 0)


def test_requests_come_before_the_background(run, start, gate):
    worker = start(rows=1)
    gate.close()
    first = worker.reply(run, example(run, 0))
    gate.holds("reading")
    order = []
    late = worker.reply(run, example(run, 1), background=True)
    late.future.add_done_callback(lambda _: order.append("background"))
    soon = worker.reply(run, example(run, 2))
    soon.future.add_done_callback(lambda _: order.append("request"))
    gate.open()
    for reply in (first, late, soon):
        reply.future.result(60)
    assert order == ["request", "background"]


def test_a_full_queue_refuses_requests_but_not_the_background(run, start, gate):
    worker = start(rows=1, queue=2)
    gate.close()
    worker.reply(run, example(run, 0))
    gate.holds("reading")
    worker.reply(run, example(run, 1))
    worker.direct(run, example(run, 2))
    with pytest.raises(FullQueue):
        worker.reply(run, example(run, 3))
    with pytest.raises(FullQueue):
        worker.direct(run, example(run, 3))
    worker.reply(run, example(run, 4), background=True)
    assert worker.waiting == 2


def test_an_error_of_the_model_reaches_those_who_wait_and_the_thread_goes_on(run, start, monkeypatch):
    worker = start()
    with monkeypatch.context() as broken:
        broken.setattr(run, "begin", lambda examples: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            worker.reply(run, example(run, 1)).future.result(60)
        broken.setattr(run, "direct", lambda examples: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            worker.direct(run, example(run, 1)).result(60)
    same(worker.reply(run, example(run, 1)).future.result(60), run, 1)


def test_a_call_runs_in_the_thread_and_gives_its_result_or_error(run, start):
    worker = start()
    assert worker.call(lambda: threading.current_thread().name).result(60) == "model"
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 / 0).result(60)


def test_who_waits_when_the_worker_stops_is_told_so(run, gate):
    worker = ModelWorker(rows=1, queue=8, watch=Metrics())
    worker.start()
    gate.close()
    jobs = [worker.reply(run, example(run, item)).future for item in range(3)]
    gate.holds("reading")
    jobs += [worker.direct(run, example(run, 1)), worker.call(lambda: None)]
    stopping = threading.Thread(target=worker.stop)
    stopping.start()
    wait_for(lambda: worker._stopping)
    gate.open()
    stopping.join(60)
    for job in jobs:
        with pytest.raises(ReckonError, match="stopping"):
            job.result(60)
    with pytest.raises(ReckonError, match="stopping"):
        worker.reply(run, example(run, 1))
