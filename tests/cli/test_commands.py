"""Each command makes one library call, with what the user typed, that the library accepts."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml
from typer.testing import CliRunner

from reckon.cli import app
from reckon.runs.read import Outcome

runner = CliRunner()


@pytest.fixture
def library(monkeypatch):
    """Replace a library function by a recorder that refuses calls which its signature would refuse."""

    def replace(module: str, name: str, returns: object = None) -> mock.Mock:
        imported = importlib.import_module(module)
        recorder = mock.create_autospec(getattr(imported, name), return_value=returns)
        monkeypatch.setattr(imported, name, recorder)
        return recorder

    return replace


def run(*arguments: str) -> str:
    result = runner.invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_demo(library):
    run_demo = library("reckon.demo", "run_demo", Path("d/report.html"))
    assert "d/report.html" in run("demo", "--out", "d", "--seed", "3")
    run_demo.assert_called_once_with(Path("d"), 3, "ranking", "r2ec")


def test_demo_of_the_rating_task(library):
    run_demo = library("reckon.demo", "run_demo", Path("d/report.html"))
    run("demo", "--out", "d", "--task", "rating")
    run_demo.assert_called_once_with(Path("d"), 0, "rating", "r2ec")


def test_backbone_new(library, monkeypatch):
    from reckon.data import Dataset

    monkeypatch.setattr(Dataset, "load", lambda path: f"data set at {path}")
    new_backbone = library("reckon.small_backbone.pretrain", "new_backbone", Path("b"))
    run("backbone", "new", "--data", "d", "--out", "b", "--size", "small", "--seed", "1")
    assert new_backbone.call_args.args == ("data set at d", Path("b"))
    assert new_backbone.call_args.kwargs["size"] == "small"
    assert new_backbone.call_args.kwargs["seed"] == 1


def test_train_r2ec(library):
    train_run = library("reckon.methods.train", "train_run")
    library("reckon.runs.read", "outcome_of", Outcome("Kept the state after 5 updates.", True))
    said = run(
        *("train", "r2ec", "--data", "d", "--backbone", "org/name", "--out", "r", "--preset", "small", "--arm"),
        *("no-reasoning", "--set", "training.max_steps=5", "--set", "seed=2", "--resume"),
    )
    assert train_run.call_args.args == ("r2ec",)
    call = train_run.call_args.kwargs
    assert call["backbone"] == "org/name"
    assert (call["preset"], call["arm"], call["resume"]) == ("small", "no-reasoning", True)
    assert list(call["overrides"]) == ["training.max_steps=5", "seed=2"]
    assert said == "Kept the state after 5 updates. Wrote r. Next: reckon evaluate r\n"


def test_a_training_that_brought_nothing_does_not_lead_to_its_evaluation(library):
    library("reckon.methods.train", "train_run")
    library("reckon.runs.read", "outcome_of", Outcome("Training brought nothing.", False))
    said = run("train", "r2ec", "--data", "d", "--backbone", "b", "--out", "r")
    assert said.startswith("Training brought nothing. Wrote r. Next: train again with another preset")
    assert "reckon evaluate" not in said


def test_train_reczero(library):
    train_run = library("reckon.methods.train", "train_run")
    library("reckon.runs.read", "outcome_of", Outcome("Kept the state after 5 updates.", True))
    run(
        *("train", "reczero", "--data", "d", "--backbone", "org/name", "--out", "r", "--preset", "small", "--arm"),
        *("exact-answer", "--set", "training.max_steps=5", "--seed", "2", "--config", "c.yaml"),
    )
    call = train_run.call_args.kwargs
    assert (call["data"], call["backbone"], call["out"]) == (Path("d"), "org/name", Path("r"))
    assert (call["preset"], call["arm"], call["resume"], call["seed"]) == ("small", "exact-answer", False, 2)
    assert (call["config_file"], list(call["overrides"])) == (Path("c.yaml"), ["training.max_steps=5"])


def test_train_recone_names_its_traces(library):
    train_run = library("reckon.methods.train", "train_run")
    library("reckon.runs.read", "outcome_of", Outcome("Kept the state after 5 updates.", True))
    run("train", "recone", "--data", "d", "--backbone", "b", "--traces", "t", "--out", "r")
    assert train_run.call_args.args == ("recone",)
    assert train_run.call_args.kwargs["traces"] == Path("t") and train_run.call_args.kwargs["preset"] == "paper"


def test_train_rporec_asks_the_teacher_and_leaves_the_settings_to_the_run_it_starts_from(library):
    train_run = library("reckon.methods.train", "train_run")
    library("reckon.runs.read", "outcome_of", Outcome("Kept the state after 5 updates.", True))
    run(
        *("train", "rporec", "--data", "d", "--start", "s", "--stage", "rechead", "--out", "r", "--rounds", "1"),
        *("--teacher", "openai", "--model", "m", "--base-url", "http://localhost:1/v1", "--max-tokens", "7"),
    )
    call = train_run.call_args.kwargs
    assert (call["start"], call["stage"], call["rounds"], call["backbone"]) == (Path("s"), "rechead", 1, None)
    assert (call["preset"], call["arm"], call["teacher"].identity["model"]) == (None, None, "m")
    assert not {"model", "base_url", "file", "max_tokens"} & set(call)
    run("train", "rporec", "--data", "d", "--backbone", "b", "--out", "r")
    assert train_run.call_args.kwargs["teacher"] is None


@pytest.fixture
def trained(tmp_path):
    """A directory that looks like a finished run of the named method."""

    def make(method: str) -> str:
        (tmp_path / f"{method}.json").touch()
        return str(tmp_path)

    return make


@pytest.fixture
def evaluated(library):
    """`reckon evaluate` without its work: the recorders of the evaluation and of what is written."""
    evaluate = library("reckon.evaluation.run", "evaluate", "the evaluation")
    write = library("reckon.reports.write", "write_evaluation", Path("o/report.html"))
    library("reckon.reports.write", "tables_of", [SimpleNamespace(to_rich=lambda: "the table")])
    return evaluate, write


def test_evaluate_a_run_that_ranks(evaluated, trained):
    evaluate, write = evaluated
    path = trained("r2ec")
    assert "the table" in run("evaluate", path, "--split", "valid", "-k", "3", "-k", "7")
    assert evaluate.call_args.args == (Path(path),)
    assert (evaluate.call_args.kwargs["split"], evaluate.call_args.kwargs["ks"]) == ("valid", (3, 7))
    assert write.call_args.args == ("the evaluation", Path(path) / "evaluation-valid")


def test_evaluate_a_run_that_predicts_ratings(evaluated, trained):
    evaluate, write = evaluated
    path = trained("reczero")
    assert "o/report.html" in run("evaluate", path, "--samples", "8", "--beside", "other", "--out", "o")
    assert evaluate.call_args.args == (Path(path),)
    call = evaluate.call_args.kwargs
    assert (call["samples"], call["beside"], call["split"]) == (8, [Path("other")], "test")
    assert write.call_args.args == ("the evaluation", Path("o"))


@pytest.mark.parametrize(
    ("method", "option", "why"),
    [
        ("reczero", ["-k", "3"], "predicts ratings"),
        ("reczero", ["--rows", "5"], "predicts ratings"),
    ],
)
def test_evaluate_refuses_the_other_tasks_options_in_one_line(trained, method, option, why):
    result = runner.invoke(app, ["evaluate", trained(method), *option])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert why in result.stderr and "leave" in result.stderr


@pytest.mark.parametrize("command", [["evaluate"], ["recommend", "--user", "1"]], ids=lambda command: command[0])
def test_a_directory_that_is_no_run_is_named(command, tmp_path):
    result = runner.invoke(app, [command[0], str(tmp_path), *command[1:]])
    assert result.exit_code == 2 and "is not a finished run" in result.stderr


@pytest.mark.parametrize(
    ("method", "config", "preset"),
    [
        *(("r2ec", "R2ecConfig", name) for name in ("paper", "as_released", "small", "quick", "laptop")),
        *(("reczero", "RecZeroConfig", name) for name in ("paper", "as_released", "small")),
    ],
)
def test_config_lists_every_setting_with_the_presets_value(method, config, preset):
    from reckon.config_docs import describe

    settings = importlib.import_module(f"reckon.methods.{method}.config")
    lines = run("config", method, "--preset", preset).splitlines()
    for setting in describe(getattr(settings, config), settings.preset(preset)):
        assert any(line.startswith(f"{setting.path} = {setting.default}") for line in lines), setting


def test_config_as_yaml_is_a_config_file(tmp_path):
    from reckon.config import load_config
    from reckon.methods.r2ec.config import R2ecConfig, preset

    path = tmp_path / "run.yaml"
    path.write_text(run("config", "r2ec", "--preset", "small", "--format", "yaml"))
    assert load_config(R2ecConfig, path) == preset("small")
    assert set(yaml.safe_load(path.read_text())) >= {"training", "rollout", "recpo"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "r2ec", "--data", "d", "--backbone", "b", "--out", "o", "--preset", "papr"],
        ["train", "r2ec", "--data", "d"],
        ["evaluate", "r", "-k", "0"],
        ["recommend", "r"],
        ["recommend", "r", "--user", "1", "--history", "a"],
        ["nosuch"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_2(arguments):
    assert runner.invoke(app, arguments).exit_code == 2
