"""The table source against a real PostgreSQL server, started for these tests."""

import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.table import Table
from reckon.errors import DataError, MissingExtraError

NOBODY = 65_534  # PostgreSQL refuses to run as root


def binary(name: str) -> str:
    """A program of the server, or a skip."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}")) or [shutil.which(name)]
    if not found[-1]:
        pytest.skip(f"no PostgreSQL server on this machine ({name} not found); install the package postgresql")
    return str(found[-1])


@pytest.fixture(scope="module")
def server():
    """The address of a running server with a shop's tables."""
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed; pip install 'reckon-recsys[postgres]'")
    initdb, postgres = binary("initdb"), binary("postgres")
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="reckon-pg-", dir="/tmp"))  # short: the socket's path has a length limit
    if user:
        os.chown(folder, NOBODY, NOBODY)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = None
    try:
        subprocess.run(
            [initdb, "-D", folder / "data", "-U", "reckon", "-A", "trust", "-N"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        process = subprocess.Popen(
            [postgres, "-D", folder / "data", "-p", str(port), "-k", folder, "-h", "127.0.0.1", "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **user,
        )
        address = f"postgresql://reckon:secret@127.0.0.1:{port}/postgres"
        with wait_for(psycopg, address, process) as connection:
            fill(connection)
        yield address
    finally:
        if process is not None:
            process.terminate()
            process.wait(timeout=120)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(psycopg, address, process):
    import time

    for _ in range(600):
        try:
            return psycopg.connect(address)
        except psycopg.OperationalError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


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
