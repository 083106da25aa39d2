"""An empty store for each test: a SQLite file, and a database of a real PostgreSQL server."""

import sqlite3
from contextlib import closing

import pytest
from support.postgres import running_server
from support.store_records import event_of

from reckon.serving.store.store import Store
from reckon.serving.store.tables import METADATA


@pytest.fixture(scope="session")
def server():
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory):
    """A migrated file: to copy it is faster than to migrate another."""
    path = tmp_path_factory.mktemp("store") / "empty.sqlite"
    Store.open(str(path)).close()
    return path


@pytest.fixture(scope="session")
def shared_stores(empty_file, request):
    """Opens one store of each database for all tests: another one would compile every statement again."""
    stores = {}

    def get(database):
        if database not in stores:
            file = str(empty_file.with_name("shared.sqlite"))
            stores[database] = Store.open(file if database == "sqlite" else request.getfixturevalue("server").address())
        with stores[database].database.engine.begin() as connection:
            for table in METADATA.tables.values():
                connection.execute(table.delete())
        return stores[database]

    yield get
    for store in stores.values():
        store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, shared_stores):
    """An empty store, of either database."""
    return shared_stores(request.param)


@pytest.fixture
def file_store(empty_file, tmp_path):
    """An empty store in a SQLite file of its own."""
    path = tmp_path / "store.sqlite"
    with closing(sqlite3.connect(empty_file)) as source, closing(sqlite3.connect(path)) as copy:
        source.backup(copy)
    with Store.open(str(path)) as store:
        yield store


@pytest.fixture
def event():
    """Makes events."""
    return event_of
