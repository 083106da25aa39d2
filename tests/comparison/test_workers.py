from support.stopping import run_until_killed

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
    run_until_killed(HARNESS, str(tmp_path / "started"))  # returns when all who hold its output have ended
    assert (tmp_path / "started").exists()
