"""Wait for what another thread or process does. Never for a fixed time: a busy machine may take any."""

import os
import time
from pathlib import Path


def wait_for(condition, seconds=120):
    """Return as soon as `condition()` is true; fail where it never becomes so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} seconds"
        time.sleep(0.01)


def lives(process):
    """Whether a process of this number runs; one that has ended and waits for its parent's word does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
