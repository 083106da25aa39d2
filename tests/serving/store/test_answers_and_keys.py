"""Answers, keys and facts of a store, in SQLite and in PostgreSQL."""

from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest
from support.store_records import NOON, answer_of

from reckon.serving.store.errors import ValueRefused
from reckon.serving.store.records import Key


def test_an_answer_comes_back_as_it_was_put(store):
    store.answers.put(answer_of())
    assert store.answers.get("r1") == answer_of()
    anonymous = answer_of(
        "r2", user_id=None, group=None, reasoning=None, items=(), scores=(), parts={}, truncated=False, scenario=None
    )
    store.answers.put(anonymous)
    assert store.answers.get("r2") == anonymous
    assert store.answers.get("r3") is None


def test_a_second_answer_of_an_id_replaces_the_first(store):
    store.answers.put(answer_of())
    store.answers.put(answer_of(items=("c", "d", "e"), scores=(3, 2, 1)))
    assert store.answers.get("r1").items == ("c", "d", "e")


def test_pages_that_are_asked_for_at_one_time_do_not_repeat_each_other(store):
    store.answers.put(answer_of(returned=0))
    pages = []

    def next_page():
        def grow(old):
            return replace(old, returned=old.returned + 3)

        for _ in range(5):
            pages.append(store.answers.change("r1", grow).returned)

    threads = [Thread(target=next_page) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pages) == list(range(3, 61, 3))
    assert store.answers.change("r2", lambda old: old) is None


def test_old_answers_are_dropped(store):
    for hours in range(4):
        store.answers.put(answer_of(f"r{hours}", created=NOON + timedelta(hours=hours)))
    assert store.answers.drop(NOON + timedelta(hours=2)) == 2
    assert [hours for hours in range(4) if store.answers.get(f"r{hours}")] == [2, 3]


def test_keys_are_listed_by_name_and_removed_by_it(store):
    shop, admin = Key("shop", "write", bytes(range(32)), NOON), Key("admin", "admin", b"\xff" * 32, NOON)
    store.keys.add(shop)
    store.keys.add(admin)
    assert store.keys.all() == [admin, shop]
    assert store.keys.remove("shop") and not store.keys.remove("shop")
    assert store.keys.all() == [admin]


def test_a_second_key_of_a_name_is_refused_and_the_first_stays(store):
    key = Key("shop", "read", b"1", NOON)
    store.keys.add(key)
    with pytest.raises(ValueRefused, match="another key has the name 'shop'"):
        store.keys.add(Key("shop", "admin", b"2", NOON))
    assert store.keys.all() == [key]


def test_a_fact_is_the_text_that_was_set_last(store):
    assert store.facts.get("imported") is None
    store.facts.set("imported", "run 1")
    store.facts.set("imported", "run 2")
    store.facts.set("other", "")
    assert (store.facts.get("imported"), store.facts.get("other")) == ("run 2", "")
