"""`reckon compare`: runs of any methods over the same rows, each row paired."""

import pytest
from support.rporec_talker import backbone_folder, settings
from support.shelf import backbone_folder as reader_folder
from support.shelf import dataset
from support.shelf import settings as r2ec_settings
from typer.testing import CliRunner

from reckon.cli import app
from reckon.errors import CheckpointError, ConfigError
from reckon.evaluation.compare import compare_runs
from reckon.methods.r2ec import R2ec
from reckon.methods.rporec import RPORec
from reckon.methods.rporec.stage_one import fit_rechead
from reckon.reports.ranking.report import ranking_tables


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run of R2ec and two of RPORec on the same data."""
    path = tmp_path_factory.mktemp("runs")
    data = dataset(path / "data")
    plain = r2ec_settings("no-reasoning", max_steps=2)
    R2ec.from_backbone(reader_folder(path / "reader"), data, plain).fit(data, path / "r2ec")
    writer = backbone_folder(path / "writer")
    for arm in ("history-only", "full"):
        fit_rechead(RPORec.from_backbone(writer, data, settings(arm)), data, path / arm)
    return path


def test_the_last_run_is_paired_with_every_other_row(runs):
    evaluation = compare_runs([runs / "r2ec", runs / "history-only", runs / "full"], ks=(5, 10))
    metrics, rates, pairs = ranking_tables(evaluation)
    names = ["popularity", "no-reasoning", "history-only", "rporec, stage I"]
    assert [row[0] for row in metrics.rows] == [row[0] for row in rates.rows] == names
    assert metrics.headings == ("method", "Hit@5", "NDCG@5", "Hit@10", "NDCG@10")
    assert [row[0] for row in pairs.rows[::4]] == [f"rporec, stage I − {name}" for name in names[:3]]
    assert all(" to " in row[3] for row in pairs.rows)


def test_the_metrics_of_a_run_do_not_depend_on_its_position(runs):
    one = compare_runs([runs / "full", runs / "r2ec"], ks=(5,)).results
    other = compare_runs([runs / "history-only", runs / "full"], ks=(5,)).results
    assert next(result for result in one if result.name == "rporec, stage I").ranks.tolist() == other[-1].ranks.tolist()


def test_a_comparison_of_runs_writes_no_files(runs):
    before = sorted(path.relative_to(runs) for path in runs.rglob("*"))
    compare_runs([runs / "history-only", runs / "full"], split="valid", ks=(5,))
    assert sorted(path.relative_to(runs) for path in runs.rglob("*")) == before


def test_incomparable_runs_are_refused(runs, tmp_path):
    with pytest.raises(ConfigError, match="needs two runs"):
        compare_runs([runs / "full"])
    with pytest.raises(CheckpointError, match="given twice"):
        compare_runs([runs / "full", runs / "full"])
    with pytest.raises(CheckpointError, match="not a finished run"):
        compare_runs([runs / "full", tmp_path])
    other = dataset(tmp_path / "other", step=2)
    fit_rechead(RPORec.from_backbone(runs / "writer", other, settings("history-only")), other, tmp_path / "run")
    for order in ([runs / "full", tmp_path / "run"], [tmp_path / "run", runs / "full"]):
        with pytest.raises(CheckpointError, match="was trained on other data"):
            compare_runs(order)


def test_runs_of_different_exclude_seen_are_not_compared(runs, tmp_path):
    from reckon.data import Dataset

    data = Dataset.load(runs / "data")
    free = RPORec.from_backbone(runs / "writer", data, settings("history-only", rechead={"exclude_seen": False}))
    fit_rechead(free, data, tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"has another exclude_seen than"):
        compare_runs([runs / "full", tmp_path / "run"])


def test_the_command_prints_all_tables(runs):
    done = CliRunner().invoke(app, ["compare", str(runs / "history-only"), str(runs / "full"), "--k", "5"])
    assert done.exit_code == 0, done.output
    assert "popularity" in done.output and "paired difference" in done.output
