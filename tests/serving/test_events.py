"""Events: stored once, checked before they are stored, and at once part of histories and popularity."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from support import serving

VIEW = {"user_id": "u00", "item_id": "b00", "type": "view"}


def refused(shop, event, **query):
    reply = shop.client.post("/events", json=event, params=query)
    assert reply.status_code == 422, reply.text
    return reply.json()


def history(shop, user_id):
    """(item, type, value, time) of a user's history."""
    events = shop.client.get(f"/users/{user_id}/history").json()["events"]
    return [(event["item_id"], event["type"], event["value"], event["time"]) for event in events]


def test_an_event_joins_the_history_of_its_user(shop):
    shop.tell({"user_id": "u01", "item_id": "b11", "type": "rating", "value": 5, "time": "2030-01-01T00:00:00Z"})
    assert history(shop, "u01")[-1] == ("b11", "rating", 5.0, "2030-01-01T00:00:00+00:00")


def test_a_repeated_event_changes_nothing(shop):
    event = {"event_id": "order-1", "item_id": "b09", "type": "purchase", "time": 1_700_000_000}
    assert shop.tell(event) == {"accepted": 1, "repeated": 0, "event_ids": ["order-1"], "validate_only": False}
    before, popular = shop.store.events.count(), shop.client.get("/popular").json()
    again = shop.tell(event, event | {"item_id": "b03"})
    assert (again["accepted"], again["repeated"]) == (0, 2)
    assert shop.store.events.count() == before and shop.client.get("/popular").json() == popular
    assert [one[0] for one in history(shop, "u00") if one[1] == "purchase"] == ["b09"]


def test_an_event_id_twice_in_one_request_counts_once(shop):
    found = shop.tell({"event_id": "twice"}, {"event_id": "twice", "item_id": "b01"})
    assert (found["accepted"], found["repeated"]) == (1, 1)


def test_an_event_without_an_id_gets_one_of_its_own(shop):
    ids = shop.tell({}, {})["event_ids"]
    assert len(set(ids)) == 2 and all(ids)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2031-05-01T12:00:00Z", "2031-05-01T12:00:00+00:00"),
        ("2031-05-01T12:00:00+02:00", "2031-05-01T10:00:00+00:00"),
        ("2031-05-01T12:00:00.123456-05:30", "2031-05-01T17:30:00.123456+00:00"),
        (1_700_000_000, "2023-11-14T22:13:20+00:00"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500000+00:00"),
    ],
)
def test_a_time_is_rfc_3339_with_an_offset_or_seconds_since_1970(shop, given, kept):
    shop.tell({"user_id": "u02", "time": given, "event_id": f"time {given}"})
    assert kept in [one[3] for one in history(shop, "u02")]


@pytest.mark.parametrize("time", ["2031-05-01T12:00:00", "2031-05-01", "yesterday", True, [], "", 1e30, -1e30])
def test_a_time_without_an_offset_or_out_of_range_is_refused(shop, time):
    assert refused(shop, VIEW | {"time": time})["errors"][0]["field"] == "body.time"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_that_leaves_the_calendar_in_utc_is_refused(shop, time):
    assert "years 1 and 9999" in refused(shop, VIEW | {"time": time})["detail"]


def test_an_event_without_a_time_happened_now(shop):
    shop.tell({"user_id": "u03"})
    told = datetime.fromisoformat(history(shop, "u03")[-1][3])
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=5)


def test_unknown_ids_are_named_and_nothing_is_stored(shop):
    before = shop.store.events.count()
    found = refused(shop, [VIEW, VIEW | {"item_id": "none"}, VIEW | {"user_id": "nobody"}])
    assert found["missing_ids"] == ["none", "nobody"]
    assert shop.store.events.count() == before and shop.store.users.get("nobody") is None


def test_an_undeclared_type_is_refused_with_the_declared_ones(shop):
    assert "click, interaction, purchase, rating, view" in refused(shop, VIEW | {"type": "veiw"})["detail"]


def test_validate_only_checks_and_writes_nothing(shop):
    before = shop.store.events.count()
    found = shop.tell({"event_id": "checked"}, validate_only=True)
    assert found == {"accepted": 0, "repeated": 0, "event_ids": ["checked"], "validate_only": True}
    assert shop.store.events.count() == before
    refused(shop, VIEW | {"item_id": "none"}, validate_only=True)


def test_only_events_that_meet_a_condition_belong_to_the_history(shop):
    shop.client.put("/users/rater", json={})
    for number, (kind, value) in enumerate(
        [("rating", 3.9), ("rating", 4), ("rating", None), ("click", 5), ("view", None)]
    ):
        shop.tell({"user_id": "rater", "item_id": f"b{number:02d}", "type": kind, "value": value, "time": number})
    assert [one[0] for one in history(shop, "rater")] == ["b01", "b04"]
    assert len(shop.store.events.of_user("rater", limit=9)) == 5


def test_the_history_is_in_the_order_of_time_and_not_of_arrival(shop):
    shop.client.put("/users/late", json={})
    for item, time in (("b03", 300), ("b01", 100), ("b02", 200)):
        shop.tell({"user_id": "late", "item_id": item, "time": time})
    assert [one[0] for one in history(shop, "late")] == ["b01", "b02", "b03"]
    assert [past.item_id for past in shop.service.past_of("late")] == ["b01", "b02", "b03"]


def test_an_event_changes_what_is_recommended_at_once(shop):
    shop.client.put("/users/fresh", json={})
    assert shop.recommend(user_id="fresh")["source"] == "popular"
    shop.tell({"user_id": "fresh", "item_id": "b05"})
    after = shop.recommend(user_id="fresh")
    assert after["source"] == "direct" and "b05" not in [item["id"] for item in after["items"]]


def test_an_event_counts_in_the_popularity_of_its_item(shop):
    def events_of(item_id):
        return {item["id"]: item["score"] for item in shop.client.get("/popular", params={"k": 100}).json()["items"]}[
            item_id
        ]

    before = events_of("b08")
    shop.tell({"item_id": "b08"}, {"item_id": "b08"}, {"item_id": "b08", "type": "click"})
    assert events_of("b08") == before + 2  # clicks belong to no history


def test_the_latest_events_come_first_and_only_those_after_a_number(shop):
    shop.tell({"event_id": "first"})
    last = shop.client.get("/events", params={"limit": 1}).json()["events"][0]
    assert last["event_id"] == "first"
    shop.tell({"event_id": "second"}, {"event_id": "third"})
    newer = shop.client.get("/events", params={"after": last["number"]}).json()["events"]
    assert [event["event_id"] for event in newer] == ["third", "second"]


def test_too_many_events_at_once_are_refused(shop):
    many = [VIEW] * (shop.service.config.limits.bulk + 1)
    assert shop.client.post("/events", json=many).status_code == 413


def test_no_events_are_no_error(shop):
    assert shop.tell()["accepted"] == 0


def test_with_auto_create_an_unknown_user_is_made_but_never_an_unknown_item(tmp_path):
    with serving.shop(tmp_path, events={"auto_create": True}) as shop:
        shop.client.put("/users/known", json={"columns": {"city": "Lyon"}})
        shop.tell({"user_id": "made", "item_id": "b01"}, {"user_id": "known", "item_id": "b02"})
        assert shop.client.get("/users/made").json()["columns"] == {}
        assert shop.client.get("/users/known").json()["columns"] == {"city": "Lyon"}
        found = refused(shop, [VIEW | {"user_id": "made too"}, VIEW | {"item_id": "none"}])
        assert "none" in found["missing_ids"] and shop.store.users.get("made too") is None


@pytest.mark.parametrize("offset", [0, 5.75, -11])
def test_one_moment_is_one_time_in_whatever_zone(shop, offset):
    moment = datetime(2032, 2, 29, 12, tzinfo=UTC)
    shop.tell({"user_id": "u04", "time": moment.astimezone(timezone(timedelta(hours=offset))).isoformat()})
    assert history(shop, "u04")[-1][3] == "2032-02-29T12:00:00+00:00"
