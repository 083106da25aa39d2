"""Whatever is sent: a wrong request is told what is wrong with it, in one shape, and nothing of ours breaks."""

import logging
from collections.abc import Iterator

import pytest

from reckon.serving.models.worker import Stopping
from reckon.serving.store.errors import StoreError

EVENT = '{"user_id": "u00", "item_id": "b00", "type": "view", %s}'


def send(shop, path, body, method="POST", kind="application/json"):
    return shop.client.request(method, path, content=body, headers={"Content-Type": kind})


def problem(reply, status):
    """The body of an error, in the shape that all have."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    found = reply.json()
    assert found["status"] == status and found["title"] and found["detail"]
    assert found["request_id"] == reply.headers["x-request-id"]
    return found


def test_an_unknown_field_is_refused_by_name(shop):
    found = problem(send(shop, "/recommend", '{"user_id": "u00", "lenght": 3}'), 422)
    assert found["errors"] == [{"field": "body.lenght", "problem": "Extra inputs are not permitted"}]


@pytest.mark.parametrize(
    "body",
    ["", "nope", "{", "null", "[]", "1", '"text"', b"\xff\xfe", '{"user_id": "\\ud800"}', '{"\\ud800": 1}'],
    ids=repr,
)
def test_a_body_that_is_no_json_object_is_refused(shop, body):
    problem(send(shop, "/recommend", body), 422)


@pytest.mark.parametrize(
    "body",
    ["[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000, '{"k": ' + "1" * 5_000 + "}", b'{"user_id": "\xff"}'],
    ids=["lists", "objects", "digits", "bytes"],
)
def test_json_that_is_too_deep_or_has_endless_numbers_or_odd_bytes_is_refused(shop, body):
    problem(send(shop, "/recommend", body), 400)


@pytest.mark.parametrize(
    "field",
    [
        f'"{name}": {value}'
        for name in ("value", "time")
        for value in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 400)
    ]
    + [
        '"time": 253402300800',
        '"time": true',
        '"value": "x"',
        '"event_id": ""',
        '"event_id": 7',
        '"user_id": "\\u0000"',
    ],
)
def test_an_impossible_number_or_id_of_an_event_is_refused_by_name(shop, field):
    found = problem(send(shop, "/events", EVENT % field), 422)
    assert found["errors"][0]["field"] == "body." + field.split('"')[1]


def test_an_error_in_a_list_of_events_says_which_one(shop):
    body = "[" + ", ".join([EVENT % '"value": 1'] * 2 + [EVENT % '"value": "x"']) + "]"
    assert problem(send(shop, "/events", body), 422)["errors"][0]["field"] == "body.2.value"


@pytest.mark.parametrize("value", ["NaN", "[1]", "{}", "9" * 40, '"\\u0000"', '"\\ud800"', '"' + "x" * 10_001 + '"'])
def test_an_impossible_cell_of_an_item_is_refused_by_name(shop, value):
    found = problem(send(shop, "/items/new", f'{{"title": "t", "columns": {{"price": {value}}}}}', "PUT"), 422)
    assert found["errors"][0]["field"] == "body.columns.price"


def test_the_errors_never_repeat_what_was_sent(shop):
    found = send(shop, "/recommend", '{"user_id": ["a secret"]}').text
    assert "a secret" not in found


@pytest.mark.parametrize("after", [10**30, -1, "x", "\x00"])
def test_an_impossible_page_of_events_is_refused(shop, after):
    problem(shop.client.get("/events", params={"after": after}), 422)


@pytest.mark.parametrize("path", ["/items/%00", "/items/" + "a" * 257, "/items/", "/explain/%00", "/users/%00/history"])
def test_an_impossible_id_in_an_address_is_refused(shop, path):
    problem(shop.client.get(path), 422)


def test_half_a_character_in_an_address_is_no_known_id(shop):
    problem(shop.client.get("/items/%ED%A0%80"), 404)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("POST", "/popular", 405)])
def test_an_unknown_address_or_method_has_the_shape_of_all_errors(shop, method, path, status):
    problem(shop.client.request(method, path), status)


def test_a_page_of_another_site_cannot_send_json_as_a_form(shop):
    problem(send(shop, "/recommend", '{"user_id": "u00"}', kind="text/plain"), 422)


def test_a_body_that_is_too_large_is_refused(shop):
    most = shop.service.config.limits.body_bytes
    problem(send(shop, "/recommend", b"x" * (most + 1)), 413)


@pytest.mark.parametrize(("method", "path"), [("POST", "/recommend"), ("PUT", "/items"), ("PUT", "/users")])
def test_a_body_that_is_too_large_is_refused_though_it_does_not_say_so(shop, method, path):
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        while sent < 3 * shop.service.config.limits.body_bytes:
            sent += 1 << 20
            yield b" " * (1 << 20)

    problem(send(shop, path, pieces(), method, "application/x-ndjson" if method == "PUT" else "application/json"), 413)


def test_a_bug_is_500_with_a_request_id_and_its_traceback_is_in_the_log_alone(shop, monkeypatch, caplog):
    monkeypatch.setattr(shop.service, "past_of", lambda user_id: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # what the server writes into its log
        shop.client.post("/recommend", json={"user_id": "u00"})
    monkeypatch.setattr(shop.client._transport, "raise_server_exceptions", False)
    found = shop.client.post("/recommend", json={"user_id": "u00"})
    assert found.status_code == 500 and found.headers["content-type"] == "application/problem+json"
    assert found.json()["request_id"] and "Zero" not in found.text


def test_a_failure_of_the_store_is_503_until_it_is_over(shop, monkeypatch):
    def broken(*_, **__):
        raise StoreError("the store", "the disk reports an error", "check the disk")

    monkeypatch.setattr(shop.store.events, "of_user", broken)
    monkeypatch.setattr(shop.store, "check", broken)
    reply = shop.client.post("/recommend", json={"user_id": "u00"})
    assert "check the disk" in problem(reply, 503)["detail"] and reply.headers["retry-after"] == "5"
    ready = shop.client.get("/health/ready")
    assert ready.status_code == 503 and "check the disk" in ready.json()["reasons"][0]
    assert shop.client.get("/health/live").status_code == 200
    monkeypatch.undo()
    assert shop.client.post("/recommend", json={"user_id": "u00"}).status_code == 200
    assert shop.client.get("/health/ready").json() == {"ready": True, "reasons": []}


def test_a_request_while_the_service_stops_is_503(shop, monkeypatch):
    def stopping(*_, **__):
        raise Stopping

    monkeypatch.setattr(shop.service.worker, "direct", stopping)
    problem(shop.client.post("/recommend", json={"user_id": "u00", "reasoning": "none"}), 503)


def test_the_log_of_a_request_holds_its_number_and_no_id_or_text(shop, caplog):
    with caplog.at_level(logging.INFO, logger="reckon"):
        shop.recommend(history=["b03", "b04"], reasoning="live")
        reply = shop.client.get("/items/b07")
    notes = [record.fields for record in caplog.records if record.name == "reckon.serving.http.guards"]
    assert [note["route"] for note in notes] == ["/recommend", "/items/{item_id:path}"]
    assert notes[-1]["request"] == reply.headers["x-request-id"]
    logged = " ".join(f"{record.getMessage()} {getattr(record, 'fields', '')}" for record in caplog.records)
    assert "b07" not in logged and "b03" not in logged and "Tide" not in logged
