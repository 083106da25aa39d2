"""The command line as a whole: it answers at once, and a user's mistake is one line and exit code 2."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import reckon
from reckon.cli import _ReckonGroup, app, quiet_libraries
from reckon.errors import ConfigError

SRC = Path(reckon.__file__).parents[1]
runner = CliRunner()


def python(code: str, **options: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(SRC)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes, **options)


def test_help_imports_neither_torch_nor_the_data_libraries():
    code = """
import sys
import warnings
sys.argv = ["reckon", "--help"]
from reckon.cli import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"torch", "transformers", "pyarrow", "duckdb", "numpy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    process = python(code)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "recommend" in out


def test_version_is_the_package_version():
    assert runner.invoke(app, ["--version"]).output == f"reckon {reckon.__version__}\n"


def test_no_command_prints_the_help():
    assert "Usage" in runner.invoke(app, []).output


def failing_app(error: BaseException) -> typer.Typer:
    broken = typer.Typer(cls=_ReckonGroup, pretty_exceptions_enable=False)
    nested = typer.Typer()

    @nested.command()
    def fail() -> None:
        raise error

    @nested.callback()
    def _group() -> None:
        pass

    broken.add_typer(nested, name="sub")
    return broken


def test_a_users_error_is_one_line_on_stderr_and_exit_2():
    error = ConfigError("training.max_steps", 0, "training\nneeds a step", "set it to 1 or more")
    result = runner.invoke(failing_app(error), ["sub", "fail"])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == "reckon: training.max_steps = 0: training needs a step. Fix: set it to 1 or more.\n"


def test_an_interrupt_is_one_line_and_exit_130():
    result = runner.invoke(failing_app(KeyboardInterrupt("saved to run; go on with --resume")), ["sub", "fail"])
    assert result.exit_code == 130
    assert result.stderr == "reckon: interrupted. saved to run; go on with --resume\n"


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        runner.invoke(failing_app(ZeroDivisionError()), ["sub", "fail"], catch_exceptions=False)


def test_ctrl_c_ends_a_real_process_with_130():
    # A shell's background jobs, CI among them, start with SIGINT ignored, and children inherit that.
    code = """
import signal, sys, time, types
signal.signal(signal.SIGINT, signal.default_int_handler)
fake = types.ModuleType("reckon.demo")
def run_demo(out, seed, task, method):
    print("started", flush=True)
    time.sleep(100)
fake.run_demo = run_demo
sys.modules["reckon.demo"] = fake
sys.argv = ["reckon", "demo"]
from reckon.cli import main
main()
"""
    process = python(code)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err == "reckon: interrupted.\n"


def test_libraries_are_quiet_unless_the_user_has_said_otherwise(monkeypatch):
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY", raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "0")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quiet_libraries()
        warnings.warn("will be renamed", FutureWarning, stacklevel=1)
    assert not seen
    assert (os.environ["TRANSFORMERS_VERBOSITY"], os.environ["HF_HUB_DISABLE_PROGRESS_BARS"]) == ("error", "0")
