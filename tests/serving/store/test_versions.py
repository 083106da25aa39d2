"""Stores of older and newer versions of Reckon."""

import shutil

import pytest
from sqlalchemy import inspect

from reckon.serving.store import migrations
from reckon.serving.store.errors import StoreError
from reckon.serving.store.records import Item
from reckon.serving.store.store import Store, migrate

NEXT = """
from alembic import op
from sqlalchemy import Column, Text

revision, down_revision = "0002", "0001"

def upgrade():
    op.create_table("reckon_more", Column("id", Text, primary_key=True))
    op.add_column("reckon_items", Column("more", Text))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of a store with one item, of the version of the code."""
    url = str(tmp_path / "store.sqlite")
    if request.param == "postgresql":
        server = request.getfixturevalue("server")
        url = server.fresh_database("versions")
    with Store.open(url) as store:
        store.items.put([Item("a", "Title")])
    return url


@pytest.fixture
def newer_reckon(tmp_path, monkeypatch):
    """Turns the code into a newer one, whose next version comes from the given script."""

    def become(script=NEXT):
        scripts = tmp_path / f"scripts {hash(script)}"
        shutil.copytree(migrations.SCRIPTS, scripts)
        (scripts / "versions" / "v0002_more.py").write_text(script)
        monkeypatch.setattr(migrations, "SCRIPTS", scripts)

    return become


def tables_of(url):
    """Names of tables and item columns, read past the store's own checks."""
    from reckon.serving.store.database.address import Address
    from reckon.serving.store.database.transactions import Database

    database = Database(Address.parse(url))
    with database.reading() as connection:
        look = inspect(connection)
        found = set(look.get_table_names()), {column["name"] for column in look.get_columns("reckon_items")}
    database.close()
    return found


def test_an_older_store_is_refused_with_the_command_that_helps_and_keeps_its_records(url, newer_reckon):
    newer_reckon()
    with pytest.raises(StoreError, match=r"version 0001, and this Reckon needs 0002.*reckon store migrate"):
        Store.open(url)
    assert migrate(url) == ("0001", "0002")
    assert "reckon_more" in tables_of(url)[0]
    with Store.open(url) as store:
        assert store.items.get("a").title == "Title"
    assert migrate(url) == ("0002", "0002")


def test_a_newer_store_is_refused_and_left_alone(url, newer_reckon, monkeypatch):
    with monkeypatch.context() as later:
        old = migrations.SCRIPTS
        newer_reckon()
        migrate(url)
        later.setattr(migrations, "SCRIPTS", old)
        before = tables_of(url)
        for refused in (Store.open, migrate):
            with pytest.raises(StoreError, match=r"version 0002, newer than this Reckon's 0001.*upgrade Reckon"):
                refused(url)
        assert tables_of(url) == before


def test_a_migration_that_fails_leaves_the_store_as_it_was(url, newer_reckon):
    newer_reckon(NEXT + '    op.execute("SELECT nonsense FROM nowhere")\n')
    before = tables_of(url)
    with pytest.raises(StoreError):
        migrate(url)
    assert tables_of(url) == before
    with pytest.raises(StoreError, match="version 0001, and"):
        Store.open(url)


def test_a_database_without_a_store_becomes_one(tmp_path):
    url = str(tmp_path / "new.sqlite")
    assert migrate(url) == (None, "0001")
    Store.open(url, create=False).close()
