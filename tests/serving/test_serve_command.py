"""`reckon serve` as a person starts it: ready, one request, ended by a signal; mistakes are one line."""

import json
import signal
import socket
from contextlib import closing

import httpx2
import pytest
from support import serving
from support.commands import Command
from support.waiting import wait_for
from typer.testing import CliRunner

from reckon.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return serving.run_folder(tmp_path_factory.mktemp("served"))


@pytest.fixture
def port():
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return free.getsockname()[1]


def refused(*words):
    """The one line of a command that ends with 2."""
    result = CliRunner().invoke(app, ["serve", *map(str, words), "--quiet"])
    assert result.exit_code == 2, (result.output, result.exception)
    line = result.stderr.splitlines()[-1]
    assert line.startswith("reckon: ") and "Traceback" not in result.stderr
    return line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_answers_until_a_signal_ends_it_cleanly(folder, port, tmp_path, number, code):
    store = tmp_path / "store.sqlite"
    command = Command(["serve", folder / "run", "--port", port, "--store", store], tmp_path, tmp_path / "place")
    address = f"http://127.0.0.1:{port}"
    try:

        def ready():
            assert not command.ends(0), command.said()
            try:
                return httpx2.get(f"{address}/health/ready", timeout=60).status_code == 200
            except httpx2.TransportError:
                return False

        wait_for(ready)
        reply = httpx2.post(f"{address}/recommend", json={"user_id": "u00", "reasoning": "live"}, timeout=60).json()
        assert reply["source"] == "live" and reply["model"] == "run"
        command.send(number)
        assert command.ends(60) and command.code == code
    finally:
        command.end_all()
    said = command.said()
    assert address in said and "Traceback" not in said
    requests = [json.loads(line) for line in said.splitlines() if '"message": "request"' in line]
    assert [one["status"] for one in requests if one["route"] == "/recommend"] == [200]
    assert not store.with_name("store.sqlite-wal").exists()  # closed


def test_a_port_in_use_is_one_line(folder, tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        line = refused(folder / "run", "--port", taken.getsockname()[1], "--store", tmp_path / "store.sqlite")
    assert "--port" in line and "use another port" in line


def test_a_missing_run_is_one_line_and_leaves_no_store(tmp_path, port):
    line = refused(tmp_path / "none", "--port", port)
    assert "none" in line and list(tmp_path.iterdir()) == []


def test_an_unknown_setting_names_the_nearest(folder, tmp_path):
    line = refused(folder / "run", "--set", "recommend.deadline=5", "--store", tmp_path / "store.sqlite")
    assert "recommend.deadline_ms" in line and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "setting",
    ["model.rows=0", "recommend.k=500", "limits.heartbeat_s=0", "nearline.ttl_hours=-1", "recommend.seen=never"],
)
def test_an_impossible_setting_is_one_line(folder, tmp_path, setting):
    assert setting.split("=")[0].split(".")[1] in refused(folder / "run", "--set", setting, "--store", tmp_path / "s")


def test_other_machines_reach_no_service_without_a_key(folder, tmp_path, port):
    line = refused(folder / "run", "--host", "0.0.0.0", "--port", port, "--store", tmp_path / "store.sqlite")
    assert "no key exists" in line and "reckon keys new" in line


def test_two_runs_of_one_name_are_one_line(folder, tmp_path):
    serving.run_folder(tmp_path)
    assert "rename one" in refused(folder / "run", "--beside", tmp_path / "run", "--store", tmp_path / "s")


def test_a_store_that_is_none_is_one_line(folder, tmp_path, port):
    (tmp_path / "mine").write_text("not a database, but long enough to be read as one" * 9)
    assert "mine" in refused(folder / "run", "--port", port, "--store", tmp_path / "mine")
    assert "oracle" in refused(folder / "run", "--port", port, "--store", "oracle://host/x")
