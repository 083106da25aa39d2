from types import SimpleNamespace

from support.stopping import run_until_killed
from support.waiting import lives, wait_for

from reckon.comparison.workers import _Lines

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


def test_a_crashed_cell_is_printed_as_failed(tmp_path, capsys):
    cell = SimpleNamespace(name="a, seed 0", finished=False, growing=tmp_path)
    with _Lines.shown(1, 0) as lines:
        lines.move(cell, "starting")
        lines.end(cell)
    printed = capsys.readouterr().err
    assert "a, seed 0  failed" in printed
    assert "done" not in printed
