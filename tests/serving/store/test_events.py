"""Events of a store, in SQLite and in PostgreSQL."""

from datetime import datetime, timedelta, timezone
from threading import Thread

import pytest
from support.store_records import NOON

from reckon.serving.store.conditions import Condition
from reckon.serving.store.errors import ValueRefused
from reckon.serving.store.records import Item, User


def ids(events):
    return [event.id for event in events]


def test_an_event_comes_back_as_it_was_added_with_its_time_in_utc(store, event):
    zone = timezone(timedelta(hours=-5, minutes=-30))
    time = datetime(2026, 2, 28, 23, 59, 59, 123456, zone)
    added = event("e", time=time, type="rating", value=4.5, recommendation_id="r")
    assert store.events.add([added]) == [True]
    (found,) = store.events.of_user("u", limit=5)
    assert found == added
    assert found.time.isoformat() == "2026-03-01T05:29:59.123456+00:00"


def test_times_before_1970_and_far_ahead_are_exact(store, event):
    times = [datetime(1, 1, 2, 3, 4, 5, 6, NOON.tzinfo), datetime(9999, 12, 31, 23, 59, 59, 999999, NOON.tzinfo)]
    store.events.add([event(f"e{number}", time=time) for number, time in enumerate(times)])
    assert [found.time for found in store.events.of_user("u", limit=5)] == times


def test_a_repeated_event_is_stored_once_and_said_to_be_old(store, event):
    first = event("e1")
    assert store.events.add([first, event("e2"), first, event("e1", item_id="other")]) == [True, True, False, False]
    assert store.events.add([event("e1", item_id="other"), event("e3")]) == [False, True]
    assert [(found.id, found.item_id) for found in store.events.of_user("u", limit=9)] == [
        ("e1", "i"),
        ("e2", "i"),
        ("e3", "i"),
    ]
    assert store.events.add([]) == []


def test_many_events_in_one_call_keep_their_order(store, event):
    many = [event(f"e{number}") for number in range(1200)]
    assert store.events.add(many) == [True] * 1200
    assert ids(store.events.of_user("u", limit=1200)) == ids(many)


def test_a_history_is_the_latest_events_by_time_then_by_arrival(store, event):
    store.events.add([event("late", minutes=9), event("b", minutes=5), event("a", minutes=5)])
    store.events.add([event("early", minutes=1), event("0", minutes=5), event("x", user_id="v")])
    assert ids(store.events.of_user("u", limit=9)) == ["early", "b", "a", "0", "late"]
    assert ids(store.events.of_user("u", limit=2)) == ["0", "late"]
    assert store.events.of_user("nobody", limit=2) == []


def test_events_of_an_item_and_means_leave_one_user_out(store, event):
    store.events.add(
        [
            event("a", user_id="v", item_id="i", type="rating", value=4, minutes=2),
            event("b", user_id="u", item_id="i", type="rating", value=1, minutes=1),
            event("c", user_id="w", item_id="i", type="view", minutes=3),
            event("d", user_id="v", item_id="j", type="rating", value=2, summary="Loud", text="Too loud."),
        ]
    )
    assert ids(store.events.of_item("i", limit=9)) == ["b", "a", "c"]
    assert ids(store.events.of_item("i", limit=1, without_user="w")) == ["a"]
    rated = [Condition.parse("rating>=0")]
    assert ids(store.events.of_item("i", limit=9, without_user="u", conditions=rated)) == ["a"]
    assert store.events.mean_value(item_id="i", conditions=rated) == 2.5
    assert store.events.mean_value(item_id="i", without_user="u", conditions=rated) == 4
    assert store.events.mean_value(user_id="v", conditions=rated) == 3
    assert store.events.mean_value(user_id="w", conditions=rated) is None
    assert store.events.of_item("j", limit=1)[0].text == "Too loud."


def test_conditions_choose_the_same_events_in_sql_as_in_python(store, event):
    events = [event("view"), event("purchase", type="purchase")]
    values = (None, 1, 3.5, 4, 5)
    events += [event(f"rating {value}", type="rating", value=value) for value in values]
    store.events.add(events)
    for texts in (["rating>=4"], ["rating<4", "view"], ["rating!=4"], ["rating=4"], ["rating>3.5"], ["rating<=1"], []):
        conditions = [Condition.parse(text) for text in texts]
        expected = [one.id for one in events if any(condition.matches(one) for condition in conditions)]
        assert ids(store.events.of_user("u", limit=9, conditions=conditions)) == expected, texts
        assert sum(store.events.item_counts(conditions=conditions).values()) == len(expected), texts


def test_the_limit_counts_events_that_meet_the_conditions(store, event):
    store.events.add([event("p", type="purchase"), *(event(f"v{number}", minutes=number) for number in range(9))])
    assert ids(store.events.of_user("u", limit=3, conditions=[Condition("purchase")])) == ["p"]


def test_items_are_counted_most_first_then_by_id(store, event):
    for number, item in enumerate("abcbcb"):
        store.events.add([event(f"e{number}", minutes=number, item_id=item)])
    assert list(store.events.item_counts().items()) == [("b", 3), ("c", 2), ("a", 1)]
    since = NOON + timedelta(minutes=4)
    assert list(store.events.item_counts(since=since).items()) == [("b", 1), ("c", 1)]


def test_recent_events_come_by_arrival_and_in_pages(store, event):
    for number in range(5):
        store.events.add([event(f"e{number}", minutes=-number)])
    page = store.events.recent(2)
    assert ids(found for _, found in page) == ["e4", "e3"]
    older = store.events.recent(9, before=page[-1][0])
    assert ids(found for _, found in older) == ["e2", "e1", "e0"]
    assert ids(found for _, found in store.events.recent(9, after=older[0][0])) == ["e4", "e3"]
    assert store.events.count() == 5


def test_missing_ids_are_named_once_in_the_order_given(store):
    store.items.put([Item("a", "")])
    store.users.put([User("u")])
    assert store.events.missing(["x", "a", "b", "x"], ["v", "u"]) == (["x", "b"], ["v"])


def test_loaded_events_count_once_however_often_they_are_loaded(store, event):
    events = [event(f"e{number}", user_id=f"u{number % 3}") for number in range(100)]
    store.events.add([event("e7", user_id="u1")])
    assert store.events.load([events[:60], [], events[60:], events[:5]]) == 99
    assert store.events.load([events]) == 0
    assert store.events.count() == 100
    assert ids(store.events.of_user("u2", limit=3)) == ["e92", "e95", "e98"]


def test_what_cannot_be_stored_is_refused(store, event):
    wrong_values = {
        "has no zone": event("e", time=datetime(2026, 1, 1)),
        "not finite": event("e", value=float("nan")),
        "too large": event("e", value=10**400),
        "NUL": event("e\0"),
    }
    for problem, wrong in wrong_values.items():
        with pytest.raises(ValueRefused, match=problem):
            store.events.add([event("fine"), wrong])
        with pytest.raises(ValueRefused, match=problem):
            store.events.load([[event("fine"), wrong]])
    assert store.events.count() == 0


def test_threads_that_add_the_same_events_in_other_orders_store_each_once(store, event):
    events = [event(f"e{number}", user_id=f"u{number % 5}") for number in range(40)]
    told = []

    def add(mine):
        for start in range(0, 40, 8):
            told.extend(store.events.add(mine[start : start + 8]))

    threads = [Thread(target=add, args=(events[turn:] + events[:turn],)) for turn in range(0, 40, 10)]
    threads += [Thread(target=add, args=(events[::-1],))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 40 * len(threads)
    assert sum(told) == store.events.count() == 40
