"""Set before any test imports torch: few threads per worker, no network, no deadlines, the same results everywhere."""

import gc
import os

from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, and must not decide whether a test passes.
settings.register_profile("reckon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("reckon")

# Two xdist workers with two torch threads each would fight over two cores and run several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A test that reaches for a model hub must fail at once, not wait for a timeout.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_finish():
    """What was imported stays until the end: a collection of garbage, as after every training, need not look at it."""
    gc.collect()
    gc.freeze()
