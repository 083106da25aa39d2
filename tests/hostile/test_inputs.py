"""A fast sample of the hostile inputs; `python benchmarks/hostile.py --inputs N` runs any number."""

from hostile.inputs import FINE, run
from hostile.outcome import summary

SAMPLE = 16


def test_a_sample_of_hostile_inputs_is_accepted_or_refused_in_one_line():
    found = summary((run(1, number) for number in range(SAMPLE)), FINE)
    assert found["cases"] == SAMPLE and found["outcomes"]["refused"]
    assert not found["faults"], found["examples"]
