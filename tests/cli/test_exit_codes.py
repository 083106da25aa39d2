"""Exit codes of every command: 0, 1 for a bug, 2 and one line for what the user can mend, 130, 143 and 141."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from reckon.cli import INTERRUPTED, TERMINATED, UNREAD, USER_ERROR, _ReckonGroup, app
from reckon.errors import DataError
from reckon.stopping import _asked

runner = CliRunner()
ROOT = Path(__file__).parents[2]


def leaves(group, path=()):
    """Every command as its words, with the command."""
    if not hasattr(group, "commands"):
        return [(path, group)]
    return [leaf for name, command in group.commands.items() for leaf in leaves(command, (*path, name))]


GROUP = typer.main.get_command(app)
COMMANDS = leaves(GROUP)


def refused(words):
    """What is printed by a command that ends with 2: one printable line on standard error."""
    result = runner.invoke(app, [str(word) for word in words])
    assert result.exit_code == USER_ERROR, (words, result.output, result.exception)
    assert result.stdout == "" and result.stderr.count("\n") == 1 and len(result.stderr) <= 301
    assert result.stderr.startswith("reckon: ") and result.stderr.rstrip("\n").isprintable()
    return result.stderr


def wrong_paths(command, folder):
    """Arguments and required options, all leading below a file, where nothing can be read or made."""
    (folder / "file").write_text("mine")
    words = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            words.append(folder / "file" / "x")
        elif parameter.required:
            words += [parameter.opts[0], folder / "file" / "x"]
    return words


@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_an_unknown_option_is_one_line_and_2(path, command):
    assert "--no-such-option" in refused([*path, "--no-such-option"])


ENDS = {
    "done": (None, None, 0, ""),
    "a mistake": (
        DataError("here", "is wrong", "mend it"),
        None,
        USER_ERROR,
        "reckon: here: is wrong. Fix: mend it.\n",
    ),
    "a bug": (ZeroDivisionError(), None, 1, ""),
    "Ctrl-C": (KeyboardInterrupt("saved"), None, INTERRUPTED, "reckon: interrupted. saved\n"),
    "SIGTERM": (KeyboardInterrupt("saved"), signal.SIGTERM, TERMINATED, "reckon: terminated. saved\n"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    ("path", "command"), COMMANDS, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_every_command_ends_with_the_code_of_what_ended_it(path, command, end, tmp_path, monkeypatch):
    raised, asked, code, said = ENDS[end]

    def callback(**_):
        if raised is not None:
            raise raised

    monkeypatch.setattr(command, "callback", callback)
    for parameter in command.params:  # whatever they are, they were right
        monkeypatch.setattr(parameter, "required", False)
    monkeypatch.setattr("typer.testing._get_command", lambda _: GROUP)
    token = _asked.set(asked)
    result = runner.invoke(app, list(path))
    _asked.reset(token)
    assert (result.exit_code, result.stderr) == (code, said)


READERS = [(path, command) for path, command in COMMANDS if path[0] not in ("config", "doctor")]


@pytest.mark.parametrize(
    ("path", "command"), READERS, ids=lambda value: " ".join(value) if type(value) is tuple else ""
)
def test_a_path_below_a_file_is_one_line_and_2_and_leaves_nothing(path, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = wrong_paths(command, tmp_path)
    if path == ("demo",):
        words = ["--out", tmp_path / "file" / "x"]
    refused([*path, *words])
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("words", [["no-such-command"], ["train", "no-such-method"], ["data", "prepare", "nothing"]])
def test_an_unknown_command_is_one_line_and_2(words):
    assert words[-1] in refused(words)


def failing(error):
    broken = typer.Typer(cls=_ReckonGroup, pretty_exceptions_enable=False)

    @broken.command()
    def fail() -> None:
        raise error

    @broken.callback()
    def _group() -> None:
        pass

    return runner.invoke(broken, ["fail"])


@pytest.mark.parametrize(
    ("number", "says"), [(errno.ENOSPC, "no space is left"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")]
)
def test_what_the_disk_refuses_is_one_line_and_2_in_every_command(number, says):
    result = failing(OSError(number, "said", "/data/out"))
    assert (result.exit_code, result.stderr.count("\n")) == (USER_ERROR, 1) and says in result.stderr


def test_an_error_of_a_library_about_a_full_disk_is_one_line_and_2():
    result = failing(RuntimeError("Could not write file: No space left on device (os error 28)\nat line 3"))
    assert (result.exit_code, result.stderr.count("\n")) == (USER_ERROR, 1)


def test_a_bug_ends_with_1():
    assert failing(KeyError("x")).exit_code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no broken pipes of this kind")
def test_a_command_that_nobody_reads_ends_without_a_word():
    command = [sys.executable, "-m", "reckon", "--help"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (UNREAD, "")


def test_the_page_of_commands_lists_the_codes():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| (\d+) \|", page, re.MULTILINE)
    codes = {0, 1, USER_ERROR, INTERRUPTED, TERMINATED, UNREAD}
    assert {int(code) for code in listed} == codes
    told = runner.invoke(app, ["--help"]).output.partition("Exit codes:")[2]
    assert {int(code) for code in re.findall(r"\b\d+\b", told)} == codes
