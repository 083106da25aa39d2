"""Answers as streams: what is told while it is written, and what becomes of a stream that nobody reads."""

import asyncio
import json
import socket
import threading

import httpx2
import pytest
from support import serving
from support.waiting import wait_for

from reckon.serving.store.errors import StoreError

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def gate(shop, monkeypatch):
    gate = serving.Gate(monkeypatch, shop.run)
    yield gate
    gate.open()
    wait_for(lambda: shop.service.open_streams == 0)


@pytest.fixture(scope="module")
def address(shop):
    with serving.server(shop.app) as address:
        yield address


def streamed(shop, **body):
    """The events of a stream that has ended, as (kind, data)."""
    reply = shop.client.post("/recommend", json=body, headers=STREAM)
    assert reply.status_code == 200 and reply.headers["content-type"].startswith("text/event-stream")
    return [(kind, json.loads(data)) for kind, data in serving.lines_of(reply)]


def number(shop, name):
    """A number of /metrics, without labels."""
    lines = shop.client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def test_the_pieces_add_up_to_the_reasoning_of_the_list_that_follows(shop):
    events = streamed(shop, user_id="u01", reasoning="live", k=3)
    kinds = [kind for kind, _ in events]
    assert kinds == ["reasoning"] * (len(events) - 2) + ["items", "usage"] and len(events) > 5
    items, usage = events[-2][1], events[-1][1]
    assert "".join(data["delta"] for kind, data in events if kind == "reasoning") == items["reasoning"]["text"]
    assert 0 < usage["reasoning_tokens"] <= serving.TOKENS and usage["timings_ms"] == items["timings_ms"]


def test_a_stream_ends_with_the_list_that_a_plain_request_gets(shop):
    items = dict(streamed(shop, user_id="u02", reasoning="live", k=4))["items"]
    plain = shop.recommend(user_id="u02", reasoning="live", k=4)
    assert items["items"] == plain["items"] and items["source"] == "live"


def test_cached_reasoning_is_streamed_too(shop):
    shop.recommend(user_id="u03")
    while shop.service.nearline.write_some():
        pass
    events = streamed(shop, user_id="u03", reasoning="cached")
    items = dict(events)["items"]
    assert items["source"] == "cached" and events[0] == ("reasoning", {"delta": items["reasoning"]["text"]})


def test_a_stream_without_reasoning_is_the_list_alone(shop):
    assert [kind for kind, _ in streamed(shop, history=["b01"], reasoning="none")] == ["items", "usage"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"history": ["none"]}, 422), ({"user_id": "u00", "k": 10_000}, 422), ({"recommendation_id": "none"}, 404)],
)
def test_what_is_wrong_is_refused_before_a_stream_begins(shop, body, status):
    reply = shop.client.post("/recommend", json=body, headers=STREAM)
    assert reply.status_code == status and reply.headers["content-type"] == "application/problem+json"


def test_what_fails_later_ends_a_stream_with_an_error(shop, monkeypatch):
    def failing(*arguments):
        raise StoreError("store.sqlite", "cannot be written", "free some space")

    monkeypatch.setattr(shop.service, "keep", failing)
    events = streamed(shop, user_id="u00", reasoning="live")
    assert events[0][0] == "reasoning"
    assert events[-1][0] == "error" and events[-1][1]["status"] == 503 and "written" in events[-1][1]["detail"]


def test_a_caller_that_goes_without_a_stream_frees_its_row_within_one_token(shop, address, gate):
    body = json.dumps({"user_id": "u07", "reasoning": "live"}).encode()
    head = (
        f"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    gate.close()
    with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n" + body)
        gate.let("reading")
        gate.let()
        gate.holds("token")
        (reply,) = shop.service.worker._cohorts[0].replies
    wait_for(lambda: reply.dropped)
    gate.open()
    wait_for(lambda: shop.service.worker.growing == 0)
    assert gate.tokens <= 2


def test_pieces_come_while_the_reasoning_is_written(shop, address, gate):
    gate.close()
    with httpx2.stream(
        "POST", f"{address}/recommend", json={"user_id": "u04", "reasoning": "live"}, headers=STREAM, timeout=60
    ) as reply:
        told = serving.lines_of(reply)
        gate.let("reading")
        kind = None
        while kind is None:
            gate.let()
            gate.holds("token")  # the model can go no further, and still a piece arrives once one is complete
            if shop.service.worker._cohorts[0].replies[0].streamed._told:
                kind, _ = next(told)
        assert kind == "reasoning" and gate.tokens < serving.TOKENS
        gate.open()
        assert [kind for kind, _ in told][-2:] == ["items", "usage"]


def test_silence_is_broken_by_heartbeats(shop, address, gate, monkeypatch):
    limits = shop.service.config.limits
    object.__setattr__(limits, "heartbeat_s", 0.02)
    gate.close()
    try:
        with httpx2.stream(
            "POST", f"{address}/recommend", json={"user_id": "u05", "reasoning": "live"}, headers=STREAM, timeout=60
        ) as reply:
            told = serving.lines_of(reply)
            assert [next(told), next(told)] == [(":", "heartbeat")] * 2
            gate.open()
            assert [kind for kind, _ in told if kind != ":"][-2:] == ["items", "usage"]
    finally:
        object.__setattr__(limits, "heartbeat_s", 15.0)


@pytest.mark.parametrize("path", ["/recommend", "/v1/chat/completions"])
def test_a_caller_that_goes_frees_its_row_within_one_token(shop, address, gate, path):
    body = {"user_id": "u06", "reasoning": "live"}
    if path != "/recommend":
        body = {"model": "shelf", "messages": [{"role": "user", "content": "b01; b02"}], "stream": True}
    before = number(shop, "reckon_tokens_total")
    gate.close()
    with httpx2.stream("POST", address + path, json=body, headers=STREAM, timeout=60):
        gate.let("reading")
        gate.let()
        gate.holds("token")
        assert shop.service.open_streams == 1
    wait_for(lambda: shop.service.open_streams == 0)
    gate.open()
    wait_for(lambda: shop.service.worker.growing == 0)
    # one token before, and at most the one that was under way
    assert gate.tokens <= 2 and number(shop, "reckon_tokens_total") - before <= 2


def test_a_caller_that_goes_while_its_prompt_is_read_gets_no_token(shop, address, gate):
    gate.close()
    with httpx2.stream(
        "POST", f"{address}/recommend", json={"user_id": "u07", "reasoning": "live"}, headers=STREAM, timeout=60
    ):
        gate.holds("reading")
    wait_for(lambda: shop.service.open_streams == 0)
    gate.open()
    shop.service.worker.call(lambda: None).result(60)
    wait_for(lambda: shop.service.worker.growing == 0)
    assert gate.tokens == 0


def test_a_caller_that_goes_leaves_the_others_their_answers(shop, address, gate):
    alone = dict(streamed(shop, user_id="u08", reasoning="live"))["items"]
    found = []
    gate.close()
    stays = threading.Thread(
        target=lambda: found.append(dict(streamed(shop, user_id="u08", reasoning="live"))["items"])
    )
    stays.start()
    gate.let("reading")
    gate.holds("token")
    with httpx2.stream(
        "POST", f"{address}/recommend", json={"user_id": "u09", "reasoning": "live"}, headers=STREAM, timeout=60
    ):
        wait_for(lambda: shop.service.worker.waiting == 1)
        gate.let()
        gate.let("reading")  # between two tokens of the other one
        gate.holds("token")
    wait_for(lambda: shop.service.open_streams == 1)
    gate.open()
    stays.join(60)
    assert found[0]["reasoning"] == alone["reasoning"] and found[0]["items"] == alone["items"]


def test_a_caller_that_goes_before_the_first_event_gives_its_place_back(shop):
    """It ends while the head of the reply still waits to be sent."""
    body = json.dumps({"user_id": "u10", "reasoning": "live"}).encode()
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/recommend", "raw_path": b"/recommend", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"accept", b"text/event-stream")],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
    }  # fmt: skip
    messages = []

    async def receive():
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message):
        await asyncio.Event().wait()  # a caller that reads nothing

    for _ in range(2):
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        asyncio.run(shop.app(dict(scope), receive, send))
    assert shop.service.open_streams == 0 and number(shop, "reckon_open_streams") == 0


def test_one_stream_too_many_is_refused_and_says_when_to_ask_again(shop, address, gate, monkeypatch):
    limits = shop.service.config.limits
    most = limits.streams
    object.__setattr__(limits, "streams", 1)
    gate.close()
    try:
        with httpx2.stream(
            "POST", f"{address}/recommend", json={"user_id": "u11", "reasoning": "live"}, headers=STREAM, timeout=60
        ):
            gate.holds("reading")
            for path, body in (
                ("/recommend", {"user_id": "u12"}),
                (
                    "/v1/chat/completions",
                    {"model": "shelf", "messages": [{"role": "user", "content": "b01"}], "stream": True},
                ),
            ):
                reply = shop.client.post(path, json=body, headers=STREAM)
                assert reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1
            assert shop.recommend(user_id="nobody")["source"] == "popular"  # no stream
        wait_for(lambda: shop.service.open_streams == 0)
        gate.open()
        assert streamed(shop, history=["b01"], reasoning="none")
    finally:
        object.__setattr__(limits, "streams", most)
