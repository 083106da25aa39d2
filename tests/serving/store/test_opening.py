"""Addresses of stores, and what is opened, made or refused there."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from reckon.serving.store.errors import StoreError
from reckon.serving.store.records import Item
from reckon.serving.store.store import Store
from reckon.serving.store.tables import METADATA, VERSION_TABLE


def test_a_path_and_an_address_of_it_open_the_same_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store.open("a 100%?.sqlite") as store:
        store.items.put([Item("a", "Title")])
    for url in ("sqlite:///a 100%?.sqlite", f"sqlite:///{tmp_path}/a 100%?.sqlite", str(tmp_path / "a 100%?.sqlite")):
        with Store.open(url, create=False) as store:
            assert store.items.get("a").title == "Title"
            store.check()
    assert [path.name for path in tmp_path.iterdir()] == ["a 100%?.sqlite"]


def test_a_store_stays_where_it_is_when_the_working_directory_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store.open("a.sqlite") as store:
        monkeypatch.chdir("/")
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda _: store.items.count(), range(8))) == [0] * 8


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "names no file"),
        (":memory:", "names no file"),
        ("sqlite://", "no address of a store"),
        ("mysql://root:secret@db/shop", "no address of a store"),
        ("http://reckon:secret@db/shop", "no address of a store"),
        ("postgresql://reckon:secret@db:port/shop", "can be read"),
        ("postgresql://reckon:top@secret@db/shop", "can be read"),
        ("postgresql://reckon:secret@[db/shop", "cannot be reached"),
        ("nowhere/store.sqlite", "its folder does not exist"),
        (".", "is a folder"),
        ("postgres://reckon:secret@127.0.0.1:1/shop", "cannot be reached"),
        ("postgresql+psycopg2://reckon:secret@127.0.0.1:1/shop?connect_timeout=2", "cannot be reached"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line_without_the_password(url, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=problem) as caught:
        Store.open(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_create_nothing_is_made(tmp_path, server):
    with pytest.raises(StoreError, match="does not exist"):
        Store.open(str(tmp_path / "a.sqlite"), create=False)
    (tmp_path / "b.sqlite").touch()
    server.execute("CREATE DATABASE bare")
    for url in (str(tmp_path / "b.sqlite"), server.address("bare")):
        with pytest.raises(StoreError, match="holds no store"):
            Store.open(url, create=False)
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == [("b.sqlite", 0)]


def test_a_file_of_something_else_is_refused_and_stays_as_it_was(tmp_path):
    other, text = tmp_path / "other.sqlite", tmp_path / "notes.txt"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE cookies (id)")
    connection.close()
    text.write_text("no database, just notes; " * 100)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, problem in ((other, "not those of a store"), (text, "is no SQLite database")):
        with pytest.raises(StoreError, match=problem):
            Store.open(str(path))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_database_of_the_shop_may_hold_the_store_beside_its_own_tables(server):
    server.execute("CREATE DATABASE shop")
    server.execute("CREATE TABLE items (id text)", "INSERT INTO items VALUES ('mine')", database="shop")
    with Store.open(server.address("shop")) as store:
        assert store.items.count() == 0
    server.execute("CREATE DATABASE clash")
    server.execute("CREATE TABLE reckon_items (id text)", database="clash")
    with pytest.raises(StoreError, match="not those of a store"):
        Store.open(server.address("clash"))


def test_the_tables_that_are_made_are_those_of_the_code(store):
    with store.database.reading() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []


def test_sqlite_keeps_what_is_acknowledged(file_store):
    with file_store.database.reading() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]  # 2 is FULL


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_processes_that_open_a_new_store_at_one_time_all_get_it(database, tmp_path, request):
    url = str(tmp_path / "new.sqlite")
    if database == "postgresql":
        server = request.getfixturevalue("server")
        url = server.fresh_database("crowd")

    def put(number):
        with Store.open(url) as store:
            store.items.put([Item(str(number), "")])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(put, range(6)))
    with Store.open(url) as store:
        assert store.items.count() == 6
