"""A fast sample of corruptions; `python benchmarks/hostile.py --corruptions N` runs any number."""

import pytest

from hostile.corruptions import FINE, run
from hostile.ground import make_ground
from hostile.outcome import summary

SAMPLE = 24
METHODS = ("r2ec", "reczero")  # the others in the whole


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    path = tmp_path_factory.mktemp("corruptions").resolve() / "ground"
    make_ground(path, METHODS)
    return path


def test_a_sample_of_damaged_files_is_refused_in_one_line_or_changes_nothing(ground):
    place = ground.with_name("place")
    found = summary((run(ground, place, 1, number) for number in range(SAMPLE)), FINE)
    assert found["cases"] == SAMPLE and found["outcomes"]["refused"] > SAMPLE / 2
    assert not found["faults"], found["examples"]
