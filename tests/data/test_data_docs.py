"""docs/data.md: its commands for one's own data run as they are written."""

import gzip
import json
import re
import shlex
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from reckon.cli import app

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
START = 1_500_000_000
EVENTS = [(f"c{user}", f"s{user + item}", START + 100 * user + item) for user in range(5) for item in range(6)]


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("reckon ") and "postgresql://" not in line]


def write_inputs(folder: Path) -> None:
    """The files that the page's commands name."""

    def csv(name, header, rows):
        (folder / name).write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]))

    csv("orders.csv", "customer,sku,ordered_at", EVENTS)
    csv("products.csv", "sku,name,maker", [(f"s{n}", f"Thing {n}", "Maker") for n in range(12)])
    reviews = [(*event, 1 + n % 5, "Good", "Works well") for n, event in enumerate(EVENTS)]
    csv("reviews.csv", "customer,sku,written_at,stars,headline,text", reviews)
    (folder / "u.data").write_text(
        "\n".join(f"{user}\t{item}\t{1 + n % 5}\t{time}" for n, (user, item, time) in enumerate(EVENTS))
    )
    sales = [
        (time * 1000, user, "transaction" if n % 5 else "view", item) for n, (user, item, time) in enumerate(EVENTS * 3)
    ]
    csv("kinds.csv", "timestamp,visitorid,event,itemid", [*sales, ("", "c1", "transaction", "s1")])
    days = [(user, item, f"{1 + n % 28:02d}/02/2017", "Zoë") for n, (user, item, _) in enumerate(EVENTS)]
    csv("export.csv", "user_id,item_id,day,by", days)
    (folder / "export.csv").write_bytes((folder / "export.csv").read_text(encoding="utf-8").encode("latin-1"))
    csv("steps.csv", "user_id,item_id,step", EVENTS)
    csv("log.csv", "user_id,item_id", [event[:2] for event in EVENTS])
    plays = [
        {"user_id": user, "track_id": item, "track_name": f"Song {item}", "timestamp": time * 1000}
        for user, item, time in EVENTS
    ]
    (folder / "plays.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, plays)).encode()))
    pq.write_table(
        pa.table({"user_id": ["a", "b"], "item_ids": [["x", "y", "z", "w"], ["y", "z", "w", "x"]]}),
        folder / "sequences.parquet",
    )
    with sqlite3.connect(folder / "shop.db") as connection:
        connection.execute("CREATE TABLE orders (user_id, item_id, timestamp)")
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", EVENTS)
        connection.execute("CREATE TABLE products (item_id, title)")
        connection.executemany("INSERT INTO products VALUES (?, ?)", [(f"s{n}", f"Thing {n}") for n in range(12)])
    connection.close()


def test_the_page_has_the_commands():
    assert len(commands()) == 11


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.split()[4])
def test_a_documented_command_runs(command, tmp_path, monkeypatch):
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert "Wrote data/" in result.output
