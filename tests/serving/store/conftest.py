"""An empty store for each test: a SQLite file, and a database of a real PostgreSQL server."""

import shutil

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
def server_store(server):
    with Store.open(server.address()) as store:
        yield store


@pytest.fixture
def file_store(empty_file, tmp_path):
    """An empty store in SQLite."""
    path = shutil.copy(empty_file, tmp_path / "store.sqlite")
    with Store.open(str(path)) as store:
        yield store


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request):
    """An empty store, of either database."""
    if request.param == "sqlite":
        return request.getfixturevalue("file_store")
    store = request.getfixturevalue("server_store")
    with store.database.engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(METADATA.tables)} RESTART IDENTITY")
    return store


@pytest.fixture
def event():
    """Makes events."""
    return event_of
