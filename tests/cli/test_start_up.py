"""What a command imports: a run that only recommends does not wait for what only a training needs."""

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
loaded = {}
for name, words in json.loads(sys.argv[1]).items():
    app(words, standalone_mode=False)
    loaded[name] = sorted(sys.modules)
json.dump(loaded, open(sys.argv[2], "w"))
"""
TRAINING = {"transformers.trainer", "transformers.training_args", "peft", "datasets", "trl", "reckon.rl.policy_trainer"}
OTHER = {"duckdb", "sklearn", "matplotlib", "scipy.stats", "hypothesis"}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Modules after `recommend`, and after an `evaluate` in the same process."""
    path = tmp_path_factory.mktemp("start")
    run = path / "run"
    shelf.train(path, run, max_steps=2)
    commands = {
        "recommend": ["recommend", str(run), "--history", "Calm Sea; Dark Crime"],
        "evaluate": ["evaluate", str(run)],
    }
    subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(commands), str(path / "loaded.json")],
        env={"PYTHONPATH": str(Path(reckon.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    return {name: set(modules) for name, modules in json.loads((path / "loaded.json").read_text()).items()}


def test_a_recommendation_imports_no_training_and_no_library_that_it_does_not_use(loaded):
    assert not loaded["recommend"] & (TRAINING | OTHER)


def test_an_evaluation_imports_no_training(loaded):
    assert not loaded["evaluate"] & (TRAINING | {"duckdb", "sklearn"})
