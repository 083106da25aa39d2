"""What a store says when the disk, the file or the server fails; and that it works again afterwards by itself."""

import sqlite3
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from reckon.serving.store.database import transactions
from reckon.serving.store.errors import StoreError, ValueRefused
from reckon.serving.store.records import Item
from reckon.serving.store.store import Store


def refused(store, problem, call=None):
    """That a call fails with one line, which says what the problem is."""
    with pytest.raises(StoreError, match=problem) as caught:
        (call or (lambda: store.items.put([Item("refused", "x" * 100_000)])))()
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert not isinstance(caught.value, ValueRefused)


@contextmanager
def pragma(store, name, value, usual):
    """A setting of the one connection that a test of one thread uses."""
    for number in (value, usual):
        with store.database.reading() as connection:
            connection.exec_driver_sql(f"PRAGMA {name} = {number}")
        if number == value:
            yield


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(transactions, "PATIENCE", 0.2)


@pytest.fixture
def own(server, impatient, shared_stores):
    """A store of PostgreSQL with connections of its own, and with one item."""
    shared_stores("postgresql")
    with Store.open(server.address()) as store:
        store.items.put([Item("a", "Title")])
        yield store


def works(store):
    """That a store can be written and read, and holds nothing of a call that failed."""
    store.items.put([Item("works", "again")])
    assert store.items.get("works").title == "again" and store.items.get("refused") is None


def test_a_full_disk(file_store):
    with pragma(file_store, "max_page_count", 1, 2**30):
        refused(file_store, "no space is left on the disk")
        file_store.check()
    works(file_store)


def test_a_read_only_file(file_store):
    with pragma(file_store, "query_only", 1, 0):
        refused(file_store, "the disk is read-only")
        assert file_store.items.count() == 0
    works(file_store)


def test_a_file_that_another_process_holds(file_store, impatient):
    path = str(file_store.database.address.path)
    with Store.open(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused(store, "another process holds it")
        assert store.items.count() == 0  # who only reads does not wait
        other.execute("COMMIT")
        works(store)
        other.close()


def test_a_damaged_file(file_store):
    path = file_store.database.address.path
    file_store.items.put([Item(str(number), "x" * 500) for number in range(200)])
    file_store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(StoreError, match="is damaged"):
        Store.open(str(path)).items.count()


def test_more_calls_than_connections(file_store, monkeypatch, impatient):
    monkeypatch.setattr(transactions, "CONNECTIONS", 1)
    with Store.open(str(file_store.database.address.path)) as store:
        with store.database.reading(), store.database.reading():
            refused(store, "all connections are in use", store.items.count)
        works(store)


def test_a_table_that_somebody_took_away(store):
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE reckon_facts RENAME TO elsewhere")
    refused(store, "unexpected: ", lambda: store.facts.get("a"))
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO reckon_facts")
    assert store.facts.get("a") is None


def test_a_server_that_stops_and_comes_back(own, server):
    server.stop()
    for call in (own.items.count, None, own.check):
        refused(own, "cannot be reached", call)
    with pytest.raises(StoreError, match="cannot be reached"):
        Store.open(server.address())
    server.start()
    works(own)
    assert own.items.get("a").title == "Title"


def test_a_server_that_ends_the_connection_in_the_middle_of_a_transaction(own, server):
    def cut(item):
        others = "pg_stat_activity WHERE usename = 'reckon' AND pid <> pg_backend_pid()"
        server.execute(f"SELECT pg_terminate_backend(pid) FROM {others}")
        return Item("a", "changed")

    refused(own, "the server is stopping|ended the connection", lambda: own.items.change("a", cut))
    assert own.items.get("a").title == "Title"
    works(own)


def test_tables_that_another_client_holds(own):
    with own.database.engine.begin() as other:
        other.execute(text("LOCK TABLE reckon_items"))
        refused(own, "another process holds it")
    works(own)


def test_a_read_only_server(own, server):
    with Store.open(f"{server.address()}?options=-c%20default_transaction_read_only%3Don") as store:
        refused(store, "the server is read-only")
        assert store.items.get("a").title == "Title"


def test_a_transaction_that_others_were_in_the_way_of_is_repeated(own):
    attempts = []

    def work(connection):
        attempts.append(connection)
        connection.execute(text("INSERT INTO reckon_facts VALUES ('a', 'b')"))
        if len(attempts) < 3:
            connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$"))

    own.database.write(work)
    assert len(attempts) == 3 and own.facts.get("a") == "b"


def test_a_transaction_that_always_fails_is_given_up(own):
    def work(connection):
        connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END $$"))

    refused(own, "other transactions were in the way", lambda: own.database.write(work))
    works(own)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        (lambda server: server.address("nothing"), "no such database"),
        (lambda server: server.address().replace("reckon:", "nobody:"), "refuses user or password"),
    ],
)
def test_an_address_that_the_server_refuses(server, address, problem):
    refused(None, problem, lambda: Store.open(address(server)))
