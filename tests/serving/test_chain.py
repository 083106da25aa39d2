"""The chain of answers: which step answers, why others could not, and that it answers as the model does."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import torch

from reckon.serving.answers import chain as chain_of
from reckon.serving.models.snapshot import Past
from reckon.serving.models.worker import FullQueue


def passed(reply):
    return {step["step"]: step["why"] for step in reply["passed"]}


def ids(reply):
    return [item["id"] for item in reply["items"]]


def never(*_, **__):
    """A model that takes for ever; the future can be cancelled."""
    return Future()


@pytest.fixture
def slow(shop, monkeypatch):
    """Lets the model take for ever: `slow("direct")`."""

    def make(*what):
        for name in what:
            if name == "direct":
                monkeypatch.setattr(shop.service.worker, "direct", never)
            else:
                monkeypatch.setattr(shop.run, "begin", held)

    released = threading.Event()
    begin = shop.run.begin

    def held(examples):
        released.wait(120)
        return begin(examples)

    yield make
    released.set()


@pytest.mark.parametrize(("reasoning", "source"), [("live", "live"), ("none", "direct")])
def test_the_first_step_is_the_one_asked_for(shop, reasoning, source):
    reply = shop.recommend(user_id="u01", reasoning=reasoning)
    assert (reply["source"], reply["passed"]) == (source, [])
    assert (reply["reasoning"] is not None) == (source == "live")


def test_the_usual_first_step_is_the_cached_reasoning(shop):
    reply = shop.recommend(user_id="u02")
    assert reply["source"] == "direct" and passed(reply) == {"cached": "the reasoning is missing"}
    while shop.service.nearline.write_some():
        pass
    reply = shop.recommend(user_id="u02")
    assert reply["source"] == "cached" and reply["passed"] == []
    assert reply["reasoning"]["written"] and not reply["reasoning"]["stale"]


def test_cached_reasoning_ranks_as_live_reasoning_of_the_same_history(shop):
    shop.recommend(user_id="u03")
    while shop.service.nearline.write_some():
        pass
    cached, live = (shop.recommend(user_id="u03", reasoning=step) for step in ("cached", "live"))
    assert (cached["source"], live["source"]) == ("cached", "live")
    assert cached["reasoning"]["text"] == live["reasoning"]["text"] and ids(cached) == ids(live)


def test_an_unknown_user_gets_popular_items_and_is_told_so(shop):
    reply = shop.recommend(user_id="nobody", reasoning="live")
    why = "the user has no history"
    assert reply["source"] == "popular" and reply["reasoning"] is None
    assert passed(reply) == {
        "live": why, "cached": "the reasoning is missing", "direct": why, "similar": why
    }  # fmt: skip
    popular = shop.client.get("/popular").json()["items"]
    assert [item["score"] for item in reply["items"]] == [item["score"] for item in popular]


def test_nobody_without_a_history_is_queued_for_reasoning(shop):
    before = shop.store.nearline.waiting_count()
    shop.recommend(user_id="nobody at all")
    assert shop.store.nearline.waiting_count() == before


def test_an_anonymous_history_is_answered_without_cached_reasoning(shop):
    reply = shop.recommend(history=["b01", {"item_id": "b02", "time": "2026-01-01T00:00:00Z"}], reasoning="cached")
    assert reply["source"] == "direct" and passed(reply) == {"cached": "the history is anonymous"}
    assert not {"b01", "b02"} & set(ids(reply))


def test_an_empty_anonymous_history_gets_popular_items(shop):
    assert shop.recommend(history=[])["source"] == "popular"


def test_unknown_items_of_an_anonymous_history_are_named(shop):
    reply = shop.client.post("/recommend", json={"history": ["b01", "none", {"item_id": "nor this"}]})
    assert reply.status_code == 422 and reply.json()["missing_ids"] == ["none", "nor this"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "u00", "history": ["b01"]},
        {"user_id": "u00", "recommendation_id": "x"},
        {"user_id": "u00", "k": 0},
        {"user_id": "u00", "k": 101},
        {"user_id": "u00", "deadline_ms": -1},
        {"user_id": "u00", "reasoning": "deep"},
        {"user_id": "u00", "filter": "gerne == 'sea'"},
        {"user_id": "u00", "filter": "genre == 1"},
    ],
    ids=str,
)
def test_a_request_that_contradicts_itself_is_refused(shop, body):
    assert shop.client.post("/recommend", json=body).status_code == 422


def test_the_live_list_is_that_of_the_model(shop):
    run = shop.run
    for user in ("u04", "u11"):
        reply = shop.recommend(user_id=user, reasoning="live", k=6)
        example = run.example(shop.service.past_of(user))
        expected = run.model.recommend_examples([example], k=6, exclude_seen=True)[0]
        assert ids(reply) == list(expected.item_ids)
        assert [item["score"] for item in reply["items"]] == pytest.approx(list(expected.scores), abs=1e-3)
        assert reply["reasoning"]["text"] == expected.reasoning


def test_the_direct_list_is_that_of_the_model_without_reasoning(shop):
    run = shop.run
    example = run.example([Past("b03"), Past("b07")])
    expected = run.model.without_reasoning().recommend_examples([example], k=6, exclude_seen=True)[0]
    reply = shop.recommend(history=["b03", "b07"], reasoning="none", k=6)
    assert ids(reply) == list(expected.item_ids)
    assert [item["score"] for item in reply["items"]] == pytest.approx(list(expected.scores), abs=1e-3)


@pytest.mark.parametrize("reasoning", ["live", "none"])
def test_requests_at_the_same_time_are_answered_as_single_ones(shop, reasoning):
    users = [f"u{number:02d}" for number in range(6)]

    def ask(user):
        reply = shop.recommend(user_id=user, reasoning=reasoning)
        return ids(reply), reply["reasoning"] and reply["reasoning"]["text"]

    alone = [ask(user) for user in users]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(ask, users))
    assert together == alone


def test_the_parts_add_up_to_the_scores_and_timings_are_told(shop):
    reply = shop.recommend(user_id="u06", reasoning="live")
    for item in reply["items"]:
        assert item["score"] == pytest.approx(sum(item["parts"].values()), abs=1e-4)
    timings = reply["timings_ms"]
    assert timings["total"] >= timings["model"] > 0 and timings["queue"] >= 0


def test_excluded_items_and_those_that_do_not_fit_stay_out(shop):
    reply = shop.recommend(history=["b00"], exclude_ids=["b03", "none"], filter='genre == "sea"', k=100)
    assert set(ids(reply)) == {"b06", "b09"}  # of b00, b03, b06, b09


# -- deadlines: the model is made to take for ever, so that nothing depends on the machine's speed -------------------


def test_a_live_answer_that_would_be_late_becomes_a_direct_one(shop, slow):
    slow("live")
    reply = shop.recommend(history=["b01"], reasoning="live", deadline_ms=400)
    assert passed(reply)["live"].startswith("the deadline") and reply["source"] in ("direct", "similar")


def test_a_direct_answer_that_would_be_late_becomes_one_by_similarity(shop, slow):
    slow("direct")
    reply = shop.recommend(history=["b01", "b02"], reasoning="none", deadline_ms=50)
    assert reply["source"] == "similar" and passed(reply) == {"direct": "the deadline has passed"}
    assert not {"b01", "b02"} & set(ids(reply))


def test_a_live_answer_leaves_time_for_the_direct_one(shop, slow, monkeypatch):
    slow("live", "direct")
    monkeypatch.setattr(shop.service.chain, "_direct_s", 10.0)
    reply = shop.recommend(history=["b01"], reasoning="live", deadline_ms=100)
    assert passed(reply)["live"] == "the deadline is too near"


def test_without_a_deadline_a_slow_answer_is_waited_for(shop, slow, monkeypatch):
    future = Future()
    monkeypatch.setattr(shop.service.worker, "direct", lambda run, example: future)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(shop.recommend, history=["b01"], reasoning="none", deadline_ms=0)
        future.set_result(torch.zeros(shop.run.snapshot.vectors.shape[1]))
        assert asked.result(60)["source"] == "direct"


def test_similar_items_are_those_of_the_latest_events(shop, slow):
    slow("direct")
    near = shop.service.config.recommend.neighbours
    history = ["b00", "b01", "b02", "b03", "b04"]
    reply = shop.recommend(history=history, reasoning="none", deadline_ms=50, k=100)
    expected = shop.run.snapshot.similar(history[-near:], chain_of.Selection(exclude=frozenset(history)), 100)
    assert ids(reply) == expected.ids


def test_where_no_similar_item_is_left_popular_ones_answer(shop, slow):
    slow("direct")
    reply = shop.recommend(history=["b01"], reasoning="none", deadline_ms=50, filter='genre == "none"')
    assert reply["source"] == "popular" and passed(reply)["similar"] == "no item is left" and ids(reply) == []


# -- a full queue ----------------------------------------------------------------------------------------------------


@pytest.fixture
def full(shop, monkeypatch):
    def refuse(*_, **__):
        raise FullQueue("256 requests wait for the model. Fix: ask again in a moment.")

    monkeypatch.setattr(shop.service.worker, "reply", refuse)
    monkeypatch.setattr(shop.service.worker, "direct", refuse)


def test_a_full_queue_refuses_live_reasoning_and_says_when_to_ask_again(shop, full):
    reply = shop.client.post("/recommend", json={"user_id": "u07", "reasoning": "live"})
    assert reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1


def test_with_a_deadline_a_full_queue_gives_a_simpler_answer(shop, full):
    reply = shop.recommend(history=["b01"], reasoning="live", deadline_ms=60_000)
    assert reply["source"] == "similar"
    assert passed(reply)["live"] == passed(reply)["direct"] == "the queue is full"


def test_a_caller_that_gives_up_takes_its_reply_off_the_queue(shop, slow):
    slow("live")
    worker = shop.service.worker
    asked = []
    reply_of = worker.reply

    async def gives_up():
        call = chain_of.Wanted("u08", [Past("b01")], chain_of.Selection(), 5, "live", 0)
        task = asyncio.ensure_future(shop.service.chain.answer(call))
        while not asked:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    def seen(*given, **options):
        asked.append(reply_of(*given, **options))
        return asked[-1]

    worker.reply = seen
    try:
        asyncio.run(gives_up())
    finally:
        del worker.reply
    assert asked[0].dropped and asked[0].future.cancelled()
