"""Processes of a comparison: they and their temporary files end with it, however it ends."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

from support.stopping import run_until_killed
from support.waiting import lives, wait_for

from reckon.comparison.workers import _Lines, _one_of_each
from reckon.locks import folder_lock

HARNESS = """
import multiprocessing, os, signal, sys
from pathlib import Path
from support.stopping import wait_for_ever
from support.waiting import wait_for

multiprocessing.get_context("fork").Process(target=wait_for_ever, args=(sys.argv[1],)).start()
wait_for(Path(sys.argv[1]).exists)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_harness_that_is_killed(tmp_path):
    run_until_killed(HARNESS, tmp_path / "worker")
    worker = int((tmp_path / "worker").read_text())
    wait_for(lambda: not lives(worker))


SERVER = """
import multiprocessing, os, signal, sys, tempfile
from multiprocessing.forkserver import ensure_running
from pathlib import Path
from reckon.comparison.workers import _take_scratch

tempfile.tempdir = sys.argv[1]
multiprocessing.current_process()._config["tempdir"] = None  # that of the tests
_take_scratch(Path(sys.argv[2]))
ensure_running()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_temporary_files_of_a_killed_comparison_go_with_the_next(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory() as temporary:  # the path of a socket must be short
        run_until_killed(SERVER, temporary, tmp_path / "out")
        assert len(list(Path(temporary).glob("*/listener-*"))) == 1
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        with folder_lock(tmp_path / "out"):
            assert not list(Path(temporary).iterdir())


def test_two_trials_of_one_folder_are_run_once():
    cells = [SimpleNamespace(name=name, folder=folder) for name, folder in (("a", "1"), ("b", "2"), ("c", "1"))]
    assert [cell.name for cell in _one_of_each(cells)] == ["a", "b"]


def test_a_crashed_cell_is_printed_as_failed(tmp_path, capsys):
    cell = SimpleNamespace(name="a, seed 0", finished=False, growing=tmp_path)
    with _Lines.shown(1, 0) as lines:
        lines.move(cell, "starting")
        lines.end(cell)
    printed = capsys.readouterr().err
    assert "a, seed 0  failed" in printed
    assert "done" not in printed


def test_two_trials_of_one_name_may_run_at_once(tmp_path, capsys):
    one, two = (SimpleNamespace(name="a, trial", finished=True, growing=tmp_path / name) for name in ("1", "2"))
    with _Lines.shown(2, 0) as lines:
        for cell in (one, two):
            lines.move(cell, "starting")
        lines.end(one)
        assert lines.running.note == "a, trial: starting"
        lines.end(two)
    assert capsys.readouterr().err.count("done") == 2
