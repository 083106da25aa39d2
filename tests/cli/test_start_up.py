"""What a command imports: a run that only recommends, or is evaluated, does not wait for what a training needs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import shelf

import reckon

CODE = """
import json, sys
from reckon.cli import app
run, out = sys.argv[1:]
app(["recommend", run, "--history", "Calm Sea; Dark Crime"], standalone_mode=False)
loaded = {"recommend": sorted(sys.modules)}
import reckon.evaluation.run, reckon.reports.write  # what `evaluate` imports
from reckon.methods.registry import METHODS
for method in METHODS.values():
    method.model
loaded["evaluate"] = sorted(sys.modules)
json.dump(loaded, open(out, "w"))
"""
TRAINING = {"transformers.trainer", "transformers.training_args", "peft", "datasets", "trl", "reckon.rl.policy_trainer"}
OTHER = {"duckdb", "sklearn", "matplotlib", "scipy.stats", "hypothesis"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Modules after `recommend`, and after what `evaluate` imports in the same process."""
    path = tmp_path_factory.mktemp("start")
    run = path / "run"
    shelf.train(path, run, max_steps=2)
    subprocess.run(
        [sys.executable, "-c", CODE, str(run), str(path / "loaded.json")],
        env={"PYTHONPATH": str(Path(reckon.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return {name: set(modules) for name, modules in json.loads((path / "loaded.json").read_text()).items()}


def test_a_recommendation_imports_no_training_and_no_library_that_it_does_not_use(loaded):
    assert not loaded["recommend"] & (TRAINING | OTHER)


def test_an_evaluation_imports_no_training(loaded):
    assert not loaded["evaluate"] & (TRAINING | {"duckdb", "sklearn", "matplotlib"})
