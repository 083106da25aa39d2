"""Reasoning written in advance: who waits for it, when it is stale, when it is not used any more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support import serving

from reckon.serving.answers.chain import model_of


@pytest.fixture(autouse=True)
def nobody_waits(shop):
    write_all(shop)


def write_all(shop):
    while shop.service.nearline.write_some():
        pass


def cached(shop, user_id):
    return shop.recommend(user_id=user_id, reasoning="cached")


def why(reply):
    return {step["step"]: step["why"] for step in reply["passed"]}.get("cached")


def test_a_user_whose_reasoning_is_missing_is_queued_by_asking(shop):
    assert why(cached(shop, "u01")) == "the reasoning is missing"
    assert [one.user_id for one in shop.store.nearline.waiting(9)] == ["u01"]
    assert shop.service.nearline.write_some() == 1
    assert shop.store.nearline.waiting_count() == 0
    assert cached(shop, "u01")["source"] == "cached"


def test_an_event_makes_the_reasoning_stale_at_once_and_it_is_written_again(shop):
    cached(shop, "u02")
    write_all(shop)
    before = cached(shop, "u02")
    assert not before["reasoning"]["stale"]
    shop.tell({"user_id": "u02", "item_id": "b00", "time": "2030-01-01T00:00:00Z"})
    between = cached(shop, "u02")
    assert between["source"] == "cached" and between["reasoning"]["stale"]
    assert "b00" not in [item["id"] for item in between["items"]]  # the new event counts all the same
    write_all(shop)
    after = cached(shop, "u02")
    assert not after["reasoning"]["stale"] and after["reasoning"]["written"] > before["reasoning"]["written"]
    assert after["reasoning"]["text"] == shop.recommend(user_id="u02", reasoning="live")["reasoning"]["text"]


def test_an_event_that_belongs_to_no_history_makes_nothing_stale(shop):
    cached(shop, "u03")
    write_all(shop)
    shop.tell({"user_id": "u03", "type": "click"}, {"user_id": "u03", "type": "rating", "value": 1})
    assert not cached(shop, "u03")["reasoning"]["stale"] and shop.store.nearline.waiting_count() == 0


def test_an_event_that_comes_while_the_reasoning_is_written_leaves_its_user_waiting(shop, monkeypatch):
    begin = shop.run.begin

    def interrupted(examples):
        monkeypatch.undo()
        shop.tell({"user_id": "u04", "item_id": "b11", "time": "2030-01-01T00:00:00Z"})
        return begin(examples)

    cached(shop, "u04")
    monkeypatch.setattr(shop.run, "begin", interrupted)
    assert shop.service.nearline.write_some() == 1
    assert [one.user_id for one in shop.store.nearline.waiting(9)] == ["u04"]
    assert cached(shop, "u04")["reasoning"]["stale"]


def test_reasoning_that_is_too_old_is_not_used(shop, monkeypatch):
    cached(shop, "u05")
    write_all(shop)
    get = shop.store.nearline.get
    old = datetime.now(UTC) - timedelta(hours=shop.service.config.nearline.ttl_hours, minutes=1)
    monkeypatch.setattr(shop.store.nearline, "get", lambda *key: replace(get(*key), created=old))
    assert why(cached(shop, "u05")) == "the reasoning is expired"


def test_reasoning_of_another_run_is_not_used(shop):
    cached(shop, "u06")
    write_all(shop)
    assert shop.store.nearline.get("u06", model_of(shop.run)) is not None
    assert shop.store.nearline.get("u06", f"{shop.run.name}@other") is None


def test_a_user_without_a_history_leaves_the_queue_without_reasoning(shop):
    shop.client.put("/users/empty", json={})
    shop.store.nearline.queue(["empty"])
    assert shop.service.nearline.write_some() == 1
    assert shop.store.nearline.waiting_count() == 0 and shop.store.nearline.get("empty", model_of(shop.run)) is None


def test_the_queue_and_its_age_are_among_the_numbers(shop):
    shop.store.nearline.queue(["u07"])
    lines = shop.client.get("/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("reckon_nearline"))
    assert float(found["reckon_nearline_waiting"]) == 1 and 0 <= float(found["reckon_nearline_age_seconds"]) < 600


def test_where_stale_reasoning_may_not_be_used_the_next_step_answers(tmp_path):
    with serving.shop(tmp_path, nearline={"enabled": False, "stale": False}) as shop:
        cached(shop, "u02")
        write_all(shop)
        assert cached(shop, "u02")["source"] == "cached"
        shop.tell({"user_id": "u02", "item_id": "b00"})
        reply = cached(shop, "u02")
        assert reply["source"] == "direct" and why(reply) == "the reasoning is stale"
