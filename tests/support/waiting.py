"""Wait for what another thread or process does. Never for a fixed time: a busy machine may take any."""

import time


def wait_for(condition, seconds=120):
    """Return as soon as `condition()` is true; fail where it never becomes so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened in {seconds} seconds"
        time.sleep(0.01)
