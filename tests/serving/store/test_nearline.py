"""Reasoning written in advance and its queue, in SQLite and in PostgreSQL."""

from datetime import UTC, datetime, timedelta

from support.store_records import NOON, reasoning_of

from reckon.serving.store.conditions import Condition
from reckon.serving.store.records import Waiting


def users(waiting):
    return [one.user_id for one in waiting]


def test_reasoning_comes_back_as_it_was_put(store, event):
    store.events.add([event("e")])
    reasoning = reasoning_of(changes=store.nearline.changes("u"), truncated=True)
    assert store.nearline.put(reasoning)
    assert store.nearline.get("u", "m") == reasoning
    assert store.nearline.get("u", "another model") is None and store.nearline.get("v", "m") is None


def test_an_event_queues_its_user_and_makes_what_is_written_stale(store, event):
    store.events.add([event("e1")])
    (first,) = store.nearline.waiting(9)
    assert store.nearline.put(reasoning_of(changes=first.changes)) and store.nearline.done(first)
    assert not store.nearline.get("u", "m").stale and store.nearline.waiting(9) == []
    store.events.add([event("e2")])
    assert store.nearline.get("u", "m").stale
    (second,) = store.nearline.waiting(9)
    assert second.changes > first.changes and second.since > first.since


def test_a_repeated_event_changes_nothing(store, event):
    store.events.add([event("e1")])
    (waiting,) = store.nearline.waiting(9)
    store.nearline.done(waiting)
    store.events.add([event("e1")])
    assert store.nearline.changes("u") == waiting.changes
    assert store.nearline.waiting_count() == 0


def test_events_that_do_not_count_queue_nobody(store, event):
    counting = [Condition("purchase"), Condition.parse("rating>=4")]
    store.events.add([event("e1"), event("e2", user_id="v", type="rating", value=3)], changing=counting)
    store.events.add([event("e3", user_id="w", type="rating", value=4)], changing=counting)
    assert users(store.nearline.waiting(9)) == ["w"]
    assert store.events.count() == 3


def test_the_longest_waiting_comes_first_and_keeps_its_place(store, event):
    before = datetime.now(UTC)
    for user in ("z", "a", "m"):
        store.events.add([event(f"e{user}", user_id=user)])
    store.events.add([event("again", user_id="z")])
    assert users(store.nearline.waiting(9)) == ["z", "a", "m"]
    assert users(store.nearline.waiting(2)) == ["z", "a"]
    assert store.nearline.waiting_count() == 3
    assert before <= store.nearline.oldest_waiting() == store.nearline.waiting(1)[0].since <= datetime.now(UTC)


def test_an_empty_queue_has_no_oldest(store):
    assert (store.nearline.waiting(9), store.nearline.waiting_count(), store.nearline.oldest_waiting()) == ([], 0, None)


def test_an_event_that_comes_while_reasoning_is_written_is_not_lost(store, event):
    store.events.add([event("e1")])
    (waiting,) = store.nearline.waiting(9)
    store.events.add([event("e2")])  # the worker has read the history by now
    assert store.nearline.put(reasoning_of(changes=waiting.changes))
    assert not store.nearline.done(waiting)
    assert users(store.nearline.waiting(9)) == ["u"]
    assert store.nearline.get("u", "m").stale


def test_a_slow_worker_does_not_replace_newer_reasoning(store, event):
    store.events.add([event("e1")])
    (slow,) = store.nearline.waiting(9)
    store.events.add([event("e2")])
    (fast,) = store.nearline.waiting(9)
    assert store.nearline.put(reasoning_of(text="of both events", changes=fast.changes))
    assert not store.nearline.put(reasoning_of(text="of one event", changes=slow.changes))
    assert store.nearline.get("u", "m").text == "of both events"
    assert store.nearline.put(reasoning_of(text="the same again", changes=fast.changes))
    assert store.nearline.get("u", "m").text == "the same again"


def test_two_models_write_beside_each_other(store, event):
    store.events.add([event("e")])
    changes = store.nearline.changes("u")
    for model in ("a", "b"):
        assert store.nearline.put(reasoning_of(text=model, model=model, changes=changes))
    assert [store.nearline.get("u", model).text for model in ("a", "b")] == ["a", "b"]


def test_nothing_is_written_of_a_user_who_was_deleted_meanwhile(store, event):
    store.events.add([event("e1")])
    (waiting,) = store.nearline.waiting(9)
    store.users.delete(["u"])
    assert not store.nearline.put(reasoning_of(changes=waiting.changes))
    assert store.nearline.get("u", "m") is None


def test_reasoning_of_before_a_deletion_is_stale_for_a_user_who_came_back(store, event):
    store.events.add([event("e1")])
    (waiting,) = store.nearline.waiting(9)
    store.users.delete(["u"])
    store.events.add([event("e2")])
    store.nearline.put(reasoning_of(changes=waiting.changes))
    assert store.nearline.get("u", "m").stale
    assert not store.nearline.done(waiting)


def test_users_can_be_queued_without_an_event_and_their_reasoning_stays_fresh(store, event):
    store.events.add([event("e1")])
    (first,) = store.nearline.waiting(9)
    store.nearline.put(reasoning_of(changes=first.changes))
    store.nearline.done(first)
    store.nearline.queue(["u", "v", "u"])
    store.nearline.queue([])
    assert users(store.nearline.waiting(9)) == ["u", "v"]
    assert not store.nearline.get("u", "m").stale
    (again, new) = store.nearline.waiting(9)
    assert store.nearline.put(reasoning_of("v", changes=new.changes)) and store.nearline.done(new)
    assert again.changes == first.changes and store.nearline.done(again)


def test_loaded_events_queue_nobody_and_make_what_is_written_stale(store, event):
    store.events.load([[event("e1"), event("e2", user_id="v")]])
    assert store.nearline.waiting(9) == []
    changes = store.nearline.changes("u")
    assert changes > 0 and store.nearline.put(reasoning_of(changes=changes))
    store.events.load([[event("e1")]])
    assert not store.nearline.get("u", "m").stale
    store.events.load([[event("e3")]])
    assert store.nearline.get("u", "m").stale and store.nearline.changes("v") > 0


def test_reasoning_may_be_kept_of_a_user_without_events(store):
    assert store.nearline.changes("u") == 0
    assert store.nearline.put(reasoning_of()) and not store.nearline.get("u", "m").stale


def test_old_reasoning_is_dropped(store):
    store.nearline.put(reasoning_of("old", created=NOON - timedelta(hours=2)))
    store.nearline.put(reasoning_of("new"))
    assert store.nearline.drop(NOON - timedelta(hours=1)) == 1
    assert store.nearline.get("old", "m") is None and store.nearline.get("new", "m") is not None


def test_nobody_is_taken_off_who_is_not_on(store):
    assert not store.nearline.done(Waiting("u", 3, NOON))
