"""Metrics agree with stored values of RecTools, and with RecTools itself where it is installed.

RecTools pins numpy below 2, so it has an environment of its own; `benchmarks/rectools_metrics.py --golden` makes the
file.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((Path(__file__).parent / "rectools_golden.json").read_text())


def sides():
    spec = importlib.util.spec_from_file_location("rectools_metrics", ROOT / "benchmarks" / "rectools_metrics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data():
    return {name: np.array(values) for name, values in GOLDEN["data"].items()}


def test_every_metric_agrees_with_what_rectools_gave(data):
    module = sides()
    values, _ = module.reckon_side(module.reckon_inputs(data))
    assert GOLDEN["rectools"] == "0.19.0"
    assert values.keys() == GOLDEN["values"].keys()
    for name, value in GOLDEN["values"].items():
        assert values[name] == pytest.approx(value, rel=0, abs=1e-9), name


def test_the_golden_case_is_not_empty_of_hits(data):
    assert 0 < GOLDEN["values"]["hit@5"] < GOLDEN["values"]["hit@20"] < 1
    assert len(data["lists"]) == 25


def test_every_metric_agrees_with_rectools_itself():
    pytest.importorskip("rectools", reason="RecTools needs an environment of its own")
    module = sides()
    fresh = module.make(module.GOLDEN, seed=3)
    reckon, rectools = (compute(inputs_of(fresh))[0] for inputs_of, compute in module.SIDES.values())
    assert module.check(reckon, rectools) <= 1e-9
