"""The table source against a real PostgreSQL server, started for these tests."""

import sys

import pytest
from support.postgres import running_server

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.table import Table
from reckon.errors import DataError, MissingExtraError


@pytest.fixture(scope="module")
def server():
    """The address of a running server with a shop's tables."""
    with running_server() as running:
        import psycopg

        with psycopg.connect(running.address()) as connection:
            fill(connection)
        yield running.address()


def fill(connection):
    connection.execute("CREATE SCHEMA sales")
    connection.execute('CREATE TABLE sales.orders (customer int, sku uuid, "when" timestamptz, stars numeric(2, 1))')
    connection.execute("CREATE TABLE products (item_id uuid, title text, price numeric)")
    connection.execute("INSERT INTO products SELECT md5(n::text)::uuid, 'Thing ' || n, n FROM generate_series(1, 12) n")
    connection.execute(
        """INSERT INTO sales.orders SELECT u, md5(n::text)::uuid,
        '2020-01-01 01:00+01'::timestamptz + make_interval(secs => 100 * u + n), nullif(n % 5, 0)
        FROM generate_series(1, 5) u, generate_series(1, 12) n ORDER BY random()"""
    )
    connection.commit()


def shop(server, **settings):
    columns = {"user_id": "customer", "item_id": "sku", "timestamp": "when", "rating": "stars"}
    usual = {"interactions": server, "table": "sales.orders", "items_table": "products", "columns": columns}
    return Table(**usual | settings)


def test_a_server_is_read_like_a_file(server, tmp_path):
    out = prepare(shop(server), tmp_path / "out")
    dataset = Dataset.load(out)
    mine = dataset.user_index == 2
    titles = [dataset.catalog.titles[index] for index in dataset.events.item_index[mine]]
    assert titles == [f"Thing {n}" for n in range(1, 13)]
    assert dataset.events.time[mine].tolist() == [1_577_836_800 + 300 + n for n in range(1, 13)]
    assert "secret" not in (out / "dataset.json").read_text()


def test_large_tables_come_in_batches(server, tmp_path, monkeypatch):
    monkeypatch.setattr("reckon.data.sources.databases.BATCH", 7)
    assert Dataset.load(prepare(shop(server), tmp_path / "out")).info["totals"]["interactions"] == 60


def test_a_missing_table_or_server_is_one_line_without_the_password(server, tmp_path):
    for source in (shop(server, table="sales.nothing"), shop("postgresql://reckon:secret@127.0.0.1:1/shop")):
        with pytest.raises(DataError, match="cannot be read") as caught:
            prepare(source, tmp_path / "out")
        assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_psycopg_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"reckon-recsys\[postgres\]"):
        prepare(shop("postgresql://127.0.0.1/shop"), tmp_path / "out")
