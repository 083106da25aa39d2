"""The registry: its entries match the methods, and a further entry is known everywhere."""

import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from support import shelf
from support.fifth_method import FIFTH
from typer.testing import CliRunner

import reckon
from reckon.cli import app, config, train
from reckon.comparison.cells import run_cell
from reckon.comparison.config import ComparisonConfig, MethodConfig, ProtocolConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.registry import contestant, contestants
from reckon.errors import CheckpointError, ConfigError
from reckon.evaluation.compare import compare_runs
from reckon.methods.finished import name_of, task_of, title_of
from reckon.methods.method import PRESETS
from reckon.methods.registry import METHODS, load_ranking_model, load_rating_model, method_named
from reckon.methods.train import train_run
from reckon.runs.read import log_of

ROOT = Path(__file__).parents[2]
runner = CliRunner()
every = pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)


@every
def test_the_arms_of_a_method_are_those_of_its_settings(method):
    assert set(typing.get_args(typing.get_type_hints(method.config)["arm"])) == set(method.arms)


@every
def test_every_preset_and_arm_of_a_method_has_settings(method):
    assert set(method.contestants) <= set(method.arms)
    assert set(PRESETS) <= set(method.presets)
    for preset in method.presets:
        for arm in method.arms:
            settings = method.preset(preset, arm)
            assert type(settings) is method.config and settings.arm == arm
            assert method.masking is None or getattr(settings, method.masking).exclude_seen == "auto"


@every
def test_a_method_is_trained_with_its_options(method):
    names = {"config", "dataset", "backbone", "out", "resume", "progress", "on_progress"}
    taken = set(inspect.signature(method.train).parameters)
    assert names | {option.name for option in method.options} <= taken
    assert ("teacher" in taken) == (method.reply_end is not None)


@every
def test_a_method_has_a_page(method):
    pages = [page for page in (ROOT / "docs").glob("*.md") if f"reckon train {method.name}" in page.read_text("utf-8")]
    assert pages


def test_names_in_a_comparison_are_names_of_one_contestant():
    names = [method.arms[arm] for method in METHODS.values() for arm in method.contestants]
    assert len(names) == len(set(names)) and set(names) < set(contestants())


def test_the_registry_imports_neither_torch_nor_the_data_libraries():
    code = """
import sys
import reckon.methods.registry
heavy = {"torch", "transformers", "pyarrow", "duckdb", "numpy"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = os.environ | {"PYTHONPATH": str(Path(reckon.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(ConfigError, match=r"'reczro': is no method\. Fix: did you mean reczero"):
        method_named("reczro")


@pytest.fixture
def fifth(monkeypatch):
    """One method more, by one entry."""
    monkeypatch.setitem(METHODS, FIFTH.name, FIFTH)
    return FIFTH


@pytest.fixture
def folders(tmp_path):
    shelf.dataset(tmp_path / "data")
    shelf.backbone_folder(tmp_path / "backbone")
    return tmp_path


def words(output):
    return " ".join(output.replace("│", " ").split())


def test_the_command_line_has_a_command_for_every_method(fifth):
    assert "fifth" in runner.invoke(train.make_app(), ["--help"]).output
    text = words(runner.invoke(train.make_app(), ["fifth", "--help"], env={"COLUMNS": "200"}).output)
    for part in ("Train nothing.", "--luck", "Logged, and nothing else.", "<a|b>", "reckon train fifth --data d"):
        assert part in text
    shown = runner.invoke(config.make_app(), ["fifth", "--arm", "no-reasoning", "--preset", "small"]).output
    assert "arm = no-reasoning" in shown and "seed = 2" in shown


def test_a_method_of_the_registry_is_trained_evaluated_and_compared(fifth, folders):
    run = folders / "run"
    line = ["fifth", "--data", str(folders / "data"), "--backbone", str(folders / "backbone"), "--out", str(run)]
    result = runner.invoke(train.make_app(), [*line, "--luck", "3"], catch_exceptions=False)
    assert result.exit_code == 0 and log_of(run)[0]["luck"] == 3
    assert (task_of(run), name_of(run), title_of(run)) == ("ranking", "fifth", "The Fifth")
    assert load_ranking_model(run).METHOD == "fifth"
    with pytest.raises(CheckpointError, match="predicts ratings"):
        load_rating_model(run)
    assert runner.invoke(app, ["evaluate", str(run)], catch_exceptions=False).exit_code == 0
    assert "The Fifth on data (shelf)" in (run / "evaluation" / "report.html").read_text("utf-8")
    where = {"data": folders / "data", "backbone": folders / "backbone"}
    train_run("fifth", out=folders / "plain", arm="no-reasoning", **where)
    assert [result.name for result in compare_runs([folders / "plain", run]).results][-2:] == ["fifth-plain", "fifth"]


def test_a_method_of_the_registry_is_a_contestant(fifth, folders):
    settings = {"backbone": str(folders / "backbone"), "luck": 4, "prompt.window": 2}
    rows = (MethodConfig(method="popularity"), MethodConfig(method="fifth-plain", settings=settings))
    few = ComparisonConfig(methods=rows, seeds=(0,), allow_few_seeds=True, protocol=ProtocolConfig(window=3))
    assert few.task == "ranking"

    def here(cells, workers):
        for cell in cells:
            run_cell(cell, lambda phase, share: None)

    comparison = run_comparison(folders / "data", few, folders / "out", runner=here)
    assert [standing.whole for standing in comparison.standings] == [True, True]
    assert comparison.standings[1].cells[0].log[0]["luck"] == 4
    for wrong, field in (({"luck": -1}, "s.luck"), ({"sort": "b"}, "s.sort"), ({"head.exclude_seen": False}, "s.head")):
        with pytest.raises(ConfigError, match=f"^{field}"):
            contestant("fifth", "m").settings_of(settings | wrong, "s")
