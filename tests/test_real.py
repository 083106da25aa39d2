"""`make real` on a tiny model: its commands, as make prints them, run through the real command line."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reckon.cli import app

ROOT = Path(__file__).parents[1]
TINY = (  # a step in milliseconds
    "training.max_steps=2 training.eval_steps=1 training.patience_steps=2 training.validation_size=8 "
    "training.dtype=float32 prompt.max_tokens=240 rollout.max_completion_length=4"
)
runner = CliRunner()


def commands(*variables):
    """The command lines of `make real`, without those that set up the environment."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "real", *variables], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [line for line in printed.splitlines() if line.startswith(".venv/bin/reckon ")]


def arguments(line):
    """The words of a command line, with the output of the program that names a user."""

    def output(match):
        words = shlex.split(match[1].replace(".venv/bin/python", sys.executable))
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    return shlex.split(re.sub(r"\$\(([^$]*)\)(?=\")", output, line))[1:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a tiny `make real`, and the output of its last command."""
    pytest.importorskip("gguf", reason="the extra gguf is not installed")
    from support.ggufs import write_gguf

    path = tmp_path_factory.mktemp("real")
    options = " ".join(f"--set {setting}" for setting in TINY.split())
    lines = commands(
        f"REAL={path / 'real'}", f"MODEL={write_gguf(path / 'tiny.gguf')}", "ROWS=12", f"TRAIN_ARGS={options}"
    )
    for line in lines:
        result = runner.invoke(app, arguments(line))
        assert result.exit_code == 0, (line, result.output, result.exception)
    return path / "real", result.output


def test_the_default_is_smollm2_on_the_simulated_bookshop():
    lines = "\n".join(commands())
    assert "reckon backbone import smollm2 --out real/model\n" in lines
    assert "reckon data prepare bookshop real/data\n" in lines


def test_a_data_set_is_named_as_data_prepare_takes_it():
    lines = commands("DATA=movielens ml-latest-small.zip --k-core 5")
    assert any("data prepare movielens ml-latest-small.zip --k-core 5 real/data" in line for line in lines)


def test_both_arms_are_trained_with_the_preset_laptop(made):
    folder, _ = made
    for arm in ("no-reasoning", "full"):
        config = (folder / arm / "config.yaml").read_text()
        assert f"arm: {arm}" in config and "r: 8" in config
        assert (folder / arm / "manifest.json").exists()


def test_a_training_that_was_stopped_goes_on(made):
    folder, _ = made
    again = [line for line in commands(f"REAL={folder}") if " train " in line]
    assert len(again) == 2 and all(" --resume" in line for line in again)
    assert not any("--resume" in line for line in commands(f"REAL={folder / 'new'}"))


def test_the_report_compares_both_arms_on_the_rows_that_were_asked_for(made):
    folder, _ = made
    page = (folder / "full" / "evaluation" / "report.html").read_text()
    assert "no-reasoning" in page
    assert "--rows 12" in page


def test_it_ends_with_reasoning_and_ranked_items(made):
    _, output = made
    assert "History:" in output and "Reasoning" in output
    assert len(re.findall(r"book-\d{3}", output)) == 5
