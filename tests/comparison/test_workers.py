import os
import signal
import subprocess
import sys
from types import SimpleNamespace

from reckon.comparison.workers import _Lines

HARNESS = """
import os, signal, sys
from pathlib import Path
from reckon.comparison.workers import _context
from support.stopping import wait_for_ever
from support.waiting import wait_for

_context().Process(target=wait_for_ever, args=(sys.argv[1],)).start()
wait_for(Path(sys.argv[1]).exists)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_no_worker_outlives_a_harness_that_is_killed(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", HARNESS, str(tmp_path / "started")]
    ended = subprocess.run(command, env=environment, capture_output=True)  # returns when all who hold its output ended
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert (tmp_path / "started").exists()


def test_a_crashed_cell_is_printed_as_failed(tmp_path, capsys):
    cell = SimpleNamespace(name="a, seed 0", finished=False, growing=tmp_path)
    with _Lines.shown(1, 0) as lines:
        lines.move(cell, "starting")
        lines.end(cell)
    printed = capsys.readouterr().err
    assert "a, seed 0  failed" in printed
    assert "done" not in printed
