"""Dumps of a store, from either database into either."""

import json
import shutil
import stat

import pytest
from support.store_records import NOON, answer_of, event_of, reasoning_of

from reckon.errors import DataError
from reckon.serving.store import dump as dumps
from reckon.serving.store.dump import dump, restore
from reckon.serving.store.errors import StoreError
from reckon.serving.store.records import Item, Key, User
from reckon.serving.store.store import Store


def fill(store):
    store.items.put([Item("a", "Söder – “noir” 🙂", {"price": 0.1, "n": 2**60, "x": None}), Item("b", "\u2028")])
    store.items.put([Item("a", "Söder again", {"tags": "a,b"})])
    store.users.put([User("u", {"since": 2019}), User("v")])
    store.events.add([event_of("late", minutes=5, value=1 / 3), event_of("early", minutes=-5, recommendation_id="r1")])
    store.events.add([event_of("same time", minutes=5, user_id="v"), event_of("0", minutes=5)])
    store.nearline.put(reasoning_of(changes=store.nearline.changes("u")))
    store.nearline.done(store.nearline.waiting(1)[0])
    store.answers.put(answer_of())
    store.answers.put(answer_of("r2", user_id=None, group=None, reasoning=None, scenario=None))
    store.keys.add(Key("shop", "write", bytes(range(32)), NOON))
    store.facts.set("imported", "run 1")


@pytest.fixture
def another(request, tmp_path):
    """A second empty store, of the other database than the fixture `store`."""
    if "sqlite" in request.node.name:
        server = request.getfixturevalue("server")
        url = server.fresh_database("another")
    else:
        url = str(tmp_path / "another.sqlite")
    with Store.open(url) as store:
        yield store


@pytest.fixture(scope="session")
def whole(empty_file, tmp_path_factory):
    """A dump."""
    folder = tmp_path_factory.mktemp("dump")
    with Store.open(str(shutil.copy(empty_file, folder))) as store:
        fill(store)
        dump(store, folder / "whole.jsonl")
    return folder / "whole.jsonl"


def test_a_dump_restored_into_the_other_database_gives_the_same_records(store, another, tmp_path, monkeypatch):
    monkeypatch.setattr(dumps, "BATCH", 3)
    fill(store)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert dump(store, first) == restore(first, another) == dump(another, second) == 15
    assert first.read_bytes() == second.read_bytes()
    assert list(another.items.all()) == list(store.items.all())
    assert another.items.latest(9) == store.items.latest(9)
    assert another.events.of_user("u", limit=9) == store.events.of_user("u", limit=9)
    assert another.nearline.get("u", "m") == store.nearline.get("u", "m")
    assert another.nearline.waiting(9) == store.nearline.waiting(9)
    assert another.answers.get("r1") == answer_of() and another.keys.all() == store.keys.all()


def test_a_restored_store_goes_on_where_the_first_one_was(whole, store):
    restore(whole, store)
    assert store.events.add([event_of("late"), event_of("new", minutes=5)]) == [False, True]
    ids = [event.id for event in store.events.of_user("u", limit=9)]
    assert ids == ["early", "late", "0", "new"]
    assert store.nearline.get("u", "m").stale


def test_a_dump_is_for_its_owner_alone_and_replaces_the_one_before(file_store, tmp_path):
    file = tmp_path / "dump.jsonl"
    assert (dump(file_store, file), dump(file_store, file)) == (0, 0)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        {"kind": "reckon store", "version": "0001"},
        {"kind": "end", "records": 0},
    ]


def test_a_dump_is_of_one_moment(store, tmp_path, monkeypatch):
    fill(store)
    plain = dumps._plain

    def meanwhile(value):
        store.facts.set("later", "too late")
        return plain(value)

    monkeypatch.setattr(dumps, "_plain", meanwhile)
    assert dump(store, tmp_path / "dump.jsonl") == 15
    assert store.facts.get("later") and "too late" not in (tmp_path / "dump.jsonl").read_text()


def test_a_dump_that_fails_leaves_the_file_before_it(file_store, tmp_path, monkeypatch):
    file = tmp_path / "dump.jsonl"
    file.write_text("before")
    fill(file_store)
    monkeypatch.setattr(dumps, "_plain", lambda value: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        dump(file_store, file)
    assert file.read_text() == "before" and not list(tmp_path.glob(".*"))


def test_only_an_empty_store_is_filled(whole, file_store, tmp_path):
    with pytest.raises(DataError, match="is no file"):
        restore(tmp_path, file_store)
    file_store.facts.set("a", "b")
    with pytest.raises(StoreError, match="is not empty"):
        restore(whole, file_store)


def changed(number, **fields):
    """The line of a number (from 0) with other fields; a field that is `...` goes."""

    def change(lines):
        record = json.loads(lines[number]) | fields
        kept = {name: value for name, value in record.items() if value is not ...}
        return [*lines[:number], json.dumps(kept) + "\n", *lines[number + 1 :]]

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: [], "line 1: the dump breaks off"),
        (lambda lines: lines[:-1], "line 17: the dump breaks off"),
        (lambda lines: lines[:5] + lines[6:], "line 16: counts other records than the 14 before it"),
        (lambda lines: [*lines, lines[3]], "line 18: is behind the end"),
        (lambda lines: lines[1:], "line 1: does not begin a dump"),
        (lambda lines: [*lines[:2], "{nonsense\n", *lines[2:]], "line 3: is no JSON"),
        (lambda lines: [*lines[:2], "[" * 100_000 + "\n", *lines[2:]], "line 3: is no JSON"),
        (lambda lines: [*lines[:2], "[1]\n", *lines[2:]], "line 3: is no JSON object"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "lines 2 to 4: hold a record of kind item twice"),
        (changed(0, version="9999"), "line 1: is of version '9999'"),
        (changed(1, kind="book"), "line 2: has the unknown kind 'book'"),
        (changed(1, kind=["item"]), "line 2: has the unknown kind"),
        (changed(1, title=...), "line 2: lacks or has too much: title"),
        (changed(1, seq=3), "line 2: lacks or has too much: seq"),
        (changed(1, title=None), "line 2: title = None is of another form"),
        (changed(1, title=7), "line 2: title = 7 is of another form"),
        (changed(1, columns=["a"]), r"line 2: columns = \['a'\] is of another form"),
        (changed(1, created="yesterday"), "line 2: created = 'yesterday' is of another form"),
        (changed(1, created=5), "line 2: created = 5 is of another form"),
        (changed(1, created="2026-01-01T00:00:00"), "lines 2 to 3: a time has no zone"),
        (changed(1, id="a\0"), "lines 2 to 3: a text holds the character NUL"),
        (changed(1, title="\ud800"), "lines 2 to 3: a text holds half of a surrogate pair"),
        (changed(5, value=True), "line 6: value = True is of another form"),
        (changed(5, value=10**400), "a number is not finite"),
    ],
)
def test_a_line_that_is_none_of_a_dump_is_named_and_nothing_is_kept(whole, shared_stores, change, problem, tmp_path):
    store, file = shared_stores("sqlite"), tmp_path / "broken.jsonl"
    with whole.open() as lines:  # which end with line feeds alone: splitlines would find more
        file.write_text("".join(change(list(lines))))
    with pytest.raises(DataError, match=problem) as caught:
        restore(file, store)
    assert "\n" not in str(caught.value)
    assert restore(whole, store) == 15
