"""Set before any test imports torch: few threads per worker, no network, no deadlines, the same results everywhere."""

import functools
import gc
import os
from pathlib import Path

import pytest
import typer.main
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent

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
# Nothing of a test stays in the user's cache, and nothing there decides a test.
os.environ["RECKON_CACHE"] = os.devnull


# Files that take longest, by the beginning of their path: begun first, so that no worker is left alone with one.
LONG = (
    "test_real.py",
    "demo/",
    "test_benchmarks.py",
    "methods/r2ec/",
    "methods/rec",
    "methods/rporec/",
    "baselines/test_best",
    "reports/",
    "comparison/",
    "evaluation/",
)


def pytest_collection_modifyitems(items):
    """Long files first. A worker takes one file after the other (`--dist loadfile`, in this order)."""

    def place(item):
        path = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
        return next((number for number, start in enumerate(LONG) if path.startswith(start)), len(LONG))

    items.sort(key=place)


def pytest_collection_finish():
    """What was imported stays until the end: a collection of garbage, as after every training, need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def one_command_line():
    """The command line is put together once: for most commands that takes longer than what they do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield


@pytest.fixture
def charts_undrawn(monkeypatch):
    """Charts are put together but left blank: for tests of what stands beside them."""
    monkeypatch.setattr("reckon.reports.charts._drawn", lambda figure, axes, title: '<svg viewBox="0 0 1 1"></svg>')
