"""Items and users of a store, in SQLite and in PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from support.store_records import answer_of, reasoning_of

from reckon.serving.store import entities
from reckon.serving.store.errors import ValueRefused
from reckon.serving.store.records import Item, User

COLUMNS = {"genre": "crime, “noir”", "price": 12.5, "pages": 2**40, "new": True, "series": None, "雪": "🙂"}


def ids(records):
    return [record.id for record in records]


def test_an_item_comes_back_as_it_was_put(store):
    before = datetime.now(UTC)
    store.items.put([Item("a", "The Quiet Harbour", COLUMNS)])
    item = store.items.get("a")
    assert (item.title, dict(item.columns)) == ("The Quiet Harbour", COLUMNS)
    assert before <= item.created == item.updated <= datetime.now(UTC)
    assert store.items.get("b") is None


def test_a_replaced_item_keeps_its_creation(store):
    store.items.put([Item("a", "Old", {"x": 1})])
    first = store.items.get("a")
    store.items.put([Item("a", "New", {"y": 2})])
    second = store.items.get("a")
    assert (second.title, second.columns) == ("New", {"y": 2})
    assert second.created == first.created < second.updated


def test_of_several_items_with_one_id_the_last_stays(store):
    store.items.put([Item("a", "First"), Item("b", "Other"), Item("a", "Last")])
    assert [item.title for item in store.items.all()] == ["Last", "Other"]


def test_items_that_are_there_stay_as_they_are_without_replace(store):
    store.items.put([Item("a", "Known")])
    store.items.put([Item("a", ""), Item("b", "")], replace=False)
    assert [item.title for item in store.items.all()] == ["Known", ""]


def test_a_change_sees_the_stored_item_and_cannot_rename_it(store):
    store.items.put([Item("a", "Title", {"x": 1, "y": 2})])
    changed = store.items.change("a", lambda item: replace(item, id="b", columns={**item.columns, "y": 3}))
    assert changed == store.items.get("a")
    assert (changed.title, changed.columns) == ("Title", {"x": 1, "y": 3})
    assert store.items.change("b", lambda item: item) is None


def test_a_change_that_fails_leaves_the_item_alone(store):
    store.items.put([Item("a", "Title")])

    def fail(item):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.items.change("a", fail)
    store.items.put([Item("b", "The store works on")])
    assert [item.title for item in store.items.all()] == ["Title", "The store works on"]


def test_pages_go_through_all_ids_in_the_order_of_code_points(store, monkeypatch):
    names = ["é", "a", "Z", "10", "9", "_", "雪", "\U0001f642", "a b", "aa"]
    store.items.put([Item(name, "") for name in names])
    assert ids(store.items.page(limit=3)) == sorted(names)[:3]
    assert ids(store.items.page(after="a", limit=100)) == sorted(names)[sorted(names).index("a") + 1 :]
    monkeypatch.setattr(entities, "PAGE", 3)
    assert ids(store.items.all()) == sorted(names)
    assert store.items.count() == len(names)


def test_some_gives_those_that_are_there_however_many_are_asked_for(store):
    store.items.put([Item("1", ""), Item("5999", "")])
    assert set(store.items.some([str(number) for number in range(6000)])) == {"1", "5999"}


def test_latest_items_are_the_last_that_came_not_the_last_that_changed(store):
    for name in ("first", "second", "third"):
        store.items.put([Item(name, "")])
    store.items.put([Item("first", "changed")])
    assert store.items.latest(2) == ["third", "second"]


def test_delete_names_those_that_were_there(store):
    store.items.put([Item(name, "") for name in "abc"])
    assert store.items.delete(["c", "x", "a", "c"]) == ["c", "a"]
    assert ids(store.items.all()) == ["b"]
    assert store.items.delete([]) == []


def test_a_user_comes_back_as_put(store):
    store.users.put([User("u", COLUMNS), User("v")])
    assert dict(store.users.get("u").columns) == COLUMNS
    assert ids(store.users.page(limit=9)) == ["u", "v"]
    assert store.users.change("v", lambda user: replace(user, columns={"x": 1})).columns == {"x": 1}


def test_with_a_user_goes_everything_that_is_kept_of_them(store, event):
    store.users.put([User("u"), User("other")])
    store.events.add([event("e1"), event("e2", user_id="other"), event("e3", user_id="no record")])
    for user in ("u", "other"):
        changes = store.nearline.changes(user)
        assert store.nearline.put(reasoning_of(user, changes=changes))
        store.answers.put(answer_of(f"answer-{user}", user_id=user))
    assert store.users.delete(["u", "no record", "nobody"]) == ["u", "no record"]
    assert store.users.get("u") is None
    assert [kept.id for _, kept in store.events.recent(9)] == ["e2"]
    assert store.answers.get("answer-u") is None and store.answers.get("answer-other") is not None
    assert store.nearline.get("u", "m") is None and store.nearline.get("other", "m") is not None
    assert [waiting.user_id for waiting in store.nearline.waiting(9)] == ["other"]


def test_of_a_deleted_user_no_byte_stays_in_the_file(file_store, event):
    name = "Ms-Unforgettable-Unforgotten"
    file_store.users.put([User(name, {"note": name})])
    file_store.events.add([event(f"e{number}", user_id=name) for number in range(300)])
    file_store.users.delete([name])
    file_store.close()
    files = list(file_store.database.address.path.parent.glob("store.sqlite*"))
    assert files and not any(name.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (Item("a\0b", ""), "NUL"),
        (Item("a", "\ud800"), "surrogate"),
        (Item("a", "", {"x": "\udfff"}), "surrogate"),
        (Item("a", "", {"x": float("nan")}), "no JSON"),
        (Item("a", "", {"x": object()}), "no JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_of_the_call_stays(store, item, problem):
    with pytest.raises(ValueRefused, match=problem) as caught:
        store.items.put([Item("0", ""), item])
    assert "\n" not in str(caught.value)
    assert store.items.count() == 0


def test_a_text_is_data_and_never_sql(store):
    hostile = "'; DROP TABLE reckon_items; -- %s :x ? \\ \" %(y)s"
    store.items.put([Item(hostile, hostile, {hostile: hostile})])
    assert store.items.get(hostile).columns == {hostile: hostile}
    assert store.items.delete([hostile]) == [hostile]
