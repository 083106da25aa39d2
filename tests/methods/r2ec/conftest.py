"""Runs of R2ec that nothing stopped, for all its tests of training."""

import pytest
from support.run_files import whole_runs
from support.shelf import train


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Run directories of runs that nothing stopped, one per settings."""
    return whole_runs(train, tmp_path_factory)
