"""An RPORec after each of its stages."""

import shutil

import pytest
from support.rporec_talker import recommender

from reckon.methods.rporec import RPORec
from reckon.methods.rporec.stage_one import fit_rechead


@pytest.fixture(scope="session")
def rechead_run(tmp_path_factory):
    """A data set, and the run of a Stage I on it."""
    path = tmp_path_factory.mktemp("rporec")
    model, data = recommender(path)
    fit_rechead(model, data, path / "one")
    return data, path / "one"


@pytest.fixture
def first_stage(rechead_run, tmp_path):
    """A model, its data, and the run of its Stage I."""
    data, run = rechead_run
    shutil.copytree(run, tmp_path / "one")
    return RPORec.from_pretrained(tmp_path / "one"), data, tmp_path / "one"
