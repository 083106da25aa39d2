"""An RPORec after its Stage I."""

import pytest
from support.rporec_talker import recommender

from reckon.methods.rporec.stage_one import fit_rechead


@pytest.fixture
def first_stage(tmp_path):
    """A model, its data, and the run of its Stage I."""
    model, data = recommender(tmp_path)
    fit_rechead(model, data, tmp_path / "one")
    return model, data, tmp_path / "one"
