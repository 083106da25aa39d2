"""A fast sample of kills and of pairs; `python benchmarks/hostile.py --kills N --pairs M` runs any number."""

import pytest

from hostile import kills, pairs
from hostile.commands import WRITERS, make_stage
from hostile.outcome import summary

KILLED = ("r2ec", "prepare")
PAIRED = ("prepare",)
KILL_SEED, PAIR_SEED = 8, 2  # few kills, and two of one command at once


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    found = kills.Ground(tmp_path_factory.mktemp("ground").resolve())
    make_stage(found.stage, runs=False)
    return found


def test_a_sample_of_killed_commands_leaves_what_others_leave(ground):
    numbers = [list(WRITERS).index(name) for name in KILLED]
    found = summary((kills.run(ground, KILL_SEED, number) for number in numbers), kills.FINE)
    assert found["cases"] == len(KILLED) and not found["faults"], found["examples"]


def test_of_a_sample_of_pairs_one_does_the_work(ground):
    numbers = [list(WRITERS).index(name) for name in PAIRED]
    found = summary((pairs.run(ground, PAIR_SEED, number) for number in numbers), pairs.FINE)
    assert found["cases"] == len(PAIRED) and not found["faults"], found["examples"]
