"""`reckon compare` from the command line: what it writes, and options that belong to its other form."""

import pytest
from support import shelf
from typer.testing import CliRunner

from reckon.cli import app
from reckon.comparison.harness import run_comparison
from reckon.comparison.workers import run_here

pytestmark = pytest.mark.usefixtures("charts_undrawn")


def in_this_process(cells, workers):
    for cell in cells:
        run_here(cell)


def test_the_command_writes_tables_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(run_comparison, "__kwdefaults__", {"runner": in_this_process})
    data, file = shelf.dataset(tmp_path / "data", users=30).path, tmp_path / "c.yaml"
    file.write_text("methods:\n- method: popularity\n- {method: popularity, name: again}\nks: [1, 3]\n")
    arguments = ["compare", "--data", str(data), "--config", str(file), "--out", str(tmp_path / "c")]
    done = CliRunner().invoke(app, [*arguments, "--set", "protocol.window=4"])
    assert done.exit_code == 0, done.output
    assert "popularity" in done.output
    for name in (
        "metrics.json",
        "comparison.yaml",
        "report.html",
        "tables/metrics.md",
        "tables/metrics.csv",
        "tables/metrics.tex",
    ):
        assert (tmp_path / "c" / name).exists(), name
    assert "window: 4" in (tmp_path / "c" / "comparison.yaml").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["compare", "a", "b", "--config", "c.yaml"],
        ["compare", "--config", "c.yaml"],
        ["compare", "a", "b", "--workers", "2"],
        ["compare", "a", "b", "--set", "workers=2"],
        ["compare", "--config", "c.yaml", "--data", "d", "--split", "valid"],
    ],
)
def test_options_of_the_other_form_are_refused(arguments):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and "reckon: " in done.output
