"""The rated shelf, backbones for it, and runs of RecZero on both."""

from functools import partial

import pytest
from support import rated_runs, rated_shelf, rated_talker
from support.run_files import whole_runs


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return rated_shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Backbones by how often their replies have the form."""
    path = tmp_path_factory.mktemp("backbones")
    return {fluency: rated_talker.backbone_folder(path / str(fluency), fluency=fluency) for fluency in (0, 15, 40)}


@pytest.fixture(scope="session")
def train_in(data, folders):
    """Train a fresh predictor, the same start every time, into `path / out`."""

    def run(path, out, *callbacks, fluency=40, **changes):
        return rated_runs.train(data, folders[fluency], path / out, *callbacks, **changes)

    return run


@pytest.fixture
def train(train_in, tmp_path):
    """Train into `tmp_path / out`."""
    return partial(train_in, tmp_path)


@pytest.fixture(scope="session")
def whole(train_in, tmp_path_factory):
    """Run directories of runs that nothing stopped, one per settings."""
    return whole_runs(train_in, tmp_path_factory)
