"""A whole comparison of methods that predict ratings: fairness, resuming, tuning, statistics, and what is refused."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support import rated_shelf, rated_talker, shelf
from support.rated_traces import write_right_traces
from support.stopping import Killed, kill
from typer.testing import CliRunner

from reckon.cli import app
from reckon.comparison.cells import Cell, read_cell
from reckon.comparison.config import ComparisonConfig, MethodConfig, ProtocolConfig, PublishedConfig, TuningConfig
from reckon.comparison.harness import run_comparison
from reckon.comparison.rating.contestants import FittedRater
from reckon.comparison.registry import contestant, contestants
from reckon.comparison.summary import metrics_of
from reckon.comparison.tuning import best_trial
from reckon.comparison.workers import run_here
from reckon.data.ratings import rating_examples
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.methods.recone import fine_tuning as recone_sft
from reckon.methods.recone import stages as recone
from reckon.metrics import holm
from reckon.metrics.rating import mae, rating_summary, rmse
from reckon.reports.comparison.report import page_of
from reckon.reports.comparison.tables import tables_of
from reckon.reports.page import render_report
from reckon.simulation.rated_bookshop import write_rated_bookshop

pytestmark = pytest.mark.usefixtures("charts_undrawn")

MEAN, USER, ITEM = (MethodConfig(method=f"{name}-mean") for name in ("global", "user", "item"))
TINY = {"preset": "small", "prompt.window": 3, "prompt.item_window": 3, "prompt.review_words": 3}
TINY |= {"training.max_steps": 2, "training.eval_steps": 1, "training.batch_size": 4, "training.micro_batch_size": 4}
TINY |= {"training.validation_size": 8, "grpo.num_generations": 3, "rollout.max_completion_length": 6}


class Here:
    """Runs cells in this process, and counts them."""

    def __init__(self):
        self.ran = []

    def __call__(self, cells, workers):
        for cell in cells:
            if not cell.finished:
                self.ran.append(cell)
                run_here(cell)


def with_about(comparison, **values):
    """The comparison with other facts in the one cell of its last method."""
    standing = comparison.standings[-1]
    cell = standing.cells[0]
    changed = replace(standing, cells={0: replace(cell, about=dict(cell.about) | values)})
    return replace(comparison, standings=[*comparison.standings[:-1], changed])


def config(*methods, **changes):
    return ComparisonConfig(methods=methods or (MEAN, USER, ITEM), **changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rated_shelf.dataset(tmp_path_factory.mktemp("shelf") / "data").path


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """A comparison, its folder and its runner."""
    out, here = tmp_path_factory.mktemp("out") / "c", Here()
    return run_comparison(data, config(), out, runner=here), out, here


@pytest.fixture(scope="module")
def reasoning(data, tmp_path_factory):
    """A baseline and a RecZero that is tuned; half of the replies of its backbone do not parse."""
    path = tmp_path_factory.mktemp("reasoning")
    settings = TINY | {"backbone": str(rated_talker.backbone_folder(path / "b", fluency=8))}
    method = MethodConfig(method="reczero", settings=settings, search={"training.learning_rate": [3e-4, 1e-3]})
    few = {"seeds": (0,), "allow_few_seeds": True, "tuning": TuningConfig(trials=2)}
    return run_comparison(data, config(USER, method, **few), path / "c", runner=Here())


def test_all_methods_and_seeds_have_the_same_rows(finished):
    comparison, _, here = finished
    assert [(cell.label, cell.seed) for cell in here.ran] == [
        (name, seed) for name in ("global-mean", "user-mean", "item-mean") for seed in (0, 1, 2)
    ]
    abouts = [cell.about for standing in comparison.standings for cell in standing.cells.values()]
    assert {about["rows"] for about in abouts} == {comparison.rows.checksum}
    assert all(standing.whole for standing in comparison.standings)


def test_the_metrics_equal_those_of_the_evaluation(finished):
    comparison, _, _ = finished
    for row, standing in zip(metrics_of(comparison)["rows"], comparison.standings, strict=True):
        summary = rating_summary(standing.results[0])  # these baselines have no seed
        for metric in ("mae", "rmse"):
            assert row[metric] == pytest.approx(summary[metric])
            assert row[f"{metric}_ci"] == pytest.approx(summary[f"{metric}_ci"])
            assert row[f"{metric}_sd"] == pytest.approx(0)
        assert row["parse_rate"] == 1.0


def test_all_differences_of_the_table_are_corrected_together(finished):
    comparison, _, _ = finished
    found = comparison.differences
    assert [(d.name, d.metric) for d in found] == [
        (name, metric) for name in ("user-mean", "item-mean") for metric in ("mae", "rmse")
    ]
    assert [d.corrected for d in found] == holm([d.paired.p_value for d in found])
    mine, base = (standing.results[0] for standing in (comparison.standings[1], comparison.standings[0]))
    assert found[0].paired.difference == pytest.approx(mae(mine) - mae(base))
    assert found[1].paired.difference == pytest.approx(rmse(mine) - rmse(base))
    assert all(d.detectable > 0 for d in found)


def test_only_the_cells_of_a_new_method_are_trained(finished, data):
    comparison, out, _ = finished
    here = Here()
    later = run_comparison(data, config(MEAN, USER, ITEM, MethodConfig(method="bias")), out, runner=here)
    assert [cell.label for cell in here.ran] == ["bias"] * 3
    assert metrics_of(later)["rows"][:3] == metrics_of(comparison)["rows"]


def test_every_table_names_data_rows_and_seeds(finished):
    comparison, _, _ = finished
    tables = tables_of(comparison)
    assert list(tables) == ["metrics", "differences", "cost", "guards"]
    assert tables["metrics"].headings == ("method", "MAE", "RMSE", "parse rate")
    for name, grid in tables.items():
        for fact in (comparison.dataset.checksum[:12], "scale of 1 to 5", "16 test rows", "seeds 0, 1, 2"):
            assert fact in grid.caption, name


def test_a_published_row_is_marked_and_compared_with_nothing(finished, data):
    row = PublishedConfig(name="Paper", values={"rmse": 0.9}, note="Of its paper.")
    comparison = run_comparison(data, config(published=(row,)), finished[1], runner=Here())
    assert tables_of(comparison)["metrics"].rows[-1] == ("Paper †", "", "0.9000", "")
    impossible = replace(row, values={"mae": 1.0, "rmse": 0.9})
    with pytest.raises(DataError, match="below mae"):
        run_comparison(data, config(published=(impossible,)), finished[1], runner=Here())


def test_the_command_compares_baselines_over_three_seeds(data, tmp_path, monkeypatch):
    import reckon.comparison.harness as harness

    monkeypatch.setattr(harness.run_comparison, "__kwdefaults__", {"runner": Here()})
    file = tmp_path / "c.yaml"
    file.write_text("methods:\n- method: global-mean\n- method: user-mean\n- method: item-mean\n")
    arguments = ["compare", "--data", str(data), "--config", str(file), "--out", str(tmp_path / "c")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "RMSE" in done.output and "item-mean" in done.output
    for name in ("metrics.json", "report.html", "tables/metrics.md", "tables/metrics.csv", "tables/differences.tex"):
        assert (tmp_path / "c" / name).exists(), name
    rows = json.loads((tmp_path / "c" / "metrics.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["global-mean", "user-mean", "item-mean"]
    assert all(0 < row["mae"] <= row["rmse"] for row in rows)


def test_no_baseline_beats_the_best_possible_of_a_simulated_shop(tmp_path):
    shop = write_rated_bookshop(tmp_path / "d", readers=60)
    comparison = run_comparison(shop, config(MEAN, ITEM), tmp_path / "c", runner=Here())
    for row in metrics_of(comparison)["rows"]:
        for metric in ("mae", "rmse"):
            assert comparison.best_possible[metric] < row[f"{metric}_ci"][0]
    assert tables_of(comparison)["metrics"].rows[-1][0] == "best possible"


# -- methods that reason --------------------------------------------------------------------------------------------


def test_settings_are_tuned_to_the_lowest_rmse_on_validation_rows(reasoning):
    tried = reasoning.trials["reczero"]
    assert len(tried.settings) == 2 and tried.scores[tried.kept] == min(tried.scores)
    assert reasoning.standings[1].settings == tried.settings[tried.kept]
    assert best_trial([0.9, None, 0.7, 0.7], lower_is_better=True) == 2


def test_unreadable_replies_are_counted_and_have_their_worst_error(reasoning):
    standing = reasoning.standings[1]
    assert standing.failures == {}
    cell = standing.cells[0]
    missing = np.isnan(cell.recommendations.predictions)
    assert 0 < missing.sum() < len(missing)
    assert sum(cell.about["problems"].values()) == missing.sum()
    assert cell.about["rates"]["parsed"] == standing.metric("parse_rate").interval.mean == (~missing).mean()
    worst = np.maximum(cell.result.targets - 1, 5 - cell.result.targets)
    assert (standing.worth("mae")[missing] == worst[missing]).all()
    assert {"truncated", "parsed", "reply_length", "seconds_per_user"} <= set(cell.about["rates"])


@pytest.mark.parametrize("readable", [True, False])
def test_a_cell_without_its_replies_fails_alone(readable, reasoning, data, tmp_path):
    """With replies that can all be read nothing else would show that they are gone."""
    about = reasoning.standings[1].cells[0].about
    found = Cell(**{field.name: about.get(field.name, "") for field in fields(Cell)} | {"folder": str(tmp_path)})
    recommendations = reasoning.standings[1].cells[0].recommendations
    if readable:
        recommendations = replace(
            recommendations,
            predictions=np.full(len(recommendations.replies), 3.0),
            problems=[""] * len(recommendations.replies),
        )
    reasoning.task.save(tmp_path, recommendations, FittedRater(None, model=True))
    for name, value in (("cell.json", dict(about)), ("log.json", [])):
        (tmp_path / name).write_text(json.dumps(value))
    assert (
        read_cell(found, reasoning.task, reasoning.rows, reasoning.dataset).recommendations.replies
        == recommendations.replies
    )
    (tmp_path / "replies.parquet").unlink()
    with pytest.raises(CheckpointError, match="is damaged"):
        read_cell(found, reasoning.task, reasoning.rows, reasoning.dataset)


def test_impossible_predictions_fail_their_cell(data, tmp_path):
    run_comparison(data, config(), tmp_path / "c", runner=Here())
    file = next((tmp_path / "c" / "cells" / "item-mean").iterdir()) / "ratings.safetensors"
    arrays = load_file(file)
    save_file(arrays | {"predictions": np.full_like(arrays["predictions"], np.nan)}, file)
    comparison = run_comparison(data, config(), tmp_path / "c", runner=Here())
    assert [standing.name for standing in comparison.whole] == ["global-mean", "user-mean"]
    assert "no reply was unreadable" in tables_of(comparison)["metrics"].rows[2][0]


def test_a_method_that_reasons_shows_its_replies_and_its_training(reasoning):
    tables = tables_of(reasoning)
    assert tables["problems"].headings == ("problem", "reczero")
    assert f"of {len(reasoning.rows)} replies of each method, all seeds together" in tables["problems"].caption
    assert {"parsed", "truncated", "reply length"} <= set(tables["cost"].headings)
    html = render_report(page_of(reasoning, tables))
    assert [row[0] for row in tables["reasoning"].rows[::3]] == [
        f"reczero, {arm}" for arm in ("own", "another user's", "shuffled", "none")
    ]
    assert [row[1] for row in tables["reasoning"].rows[:3]] == ["MAE", "RMSE", "parse rate"]
    shown = ("Predictions", "Problems", "Does the reasoning matter?", "Learning", "Replies", "Health of the training")
    for heading in shown:
        assert f"<h2>{heading}</h2>" in html
    json.dumps(metrics_of(reasoning), allow_nan=False)


def test_a_left_out_arm_is_reported(reasoning):
    effect = reasoning.standings[1].cells[0].about["reasoning"]
    arms = {arm: numbers for arm, numbers in effect["arms"].items() if arm != "another user's"}
    rows = tables_of(with_about(reasoning, reasoning={"rows": effect["rows"], "arms": arms}))["reasoning"].rows
    names = [*["own"] * 3, "another user's", *["shuffled"] * 3, *["none"] * 3]
    assert [row[0] for row in rows] == [f"reczero, {name}" for name in names]
    assert rows[3][1:] == ("left out: the rows are one user's", "", "", "")


def test_the_protocol_decides_seed_and_windows_of_a_method(data, tmp_path):
    values = TINY | {"backbone": str(rated_talker.backbone_folder(tmp_path / "b"))}
    found, loaded = contestant("reczero", "m"), rated_shelf.Dataset.load(data)

    shares = []

    def fit():
        settings = found.settings_of(values, "s")
        return found.fit(loaded, settings, ProtocolConfig(window=2), 5, tmp_path / "cell", shares.append)

    first, again = fit(), fit()  # the second as after a stop while the cell was asked
    for fitted in (first, again):
        settings = fitted.model.config
        assert (settings.seed, settings.prompt.window, settings.prompt.item_window) == (5, 2, 2)
        assert fitted.log and fitted.facts["parameters"] > 0
    assert shares == [0.5, 1]


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_recone_killed_in_a_stage_resumes_that_stage(stage, data, tmp_path, monkeypatch):
    loaded, found = rated_shelf.Dataset.load(data), contestant("recone", "m")
    write_right_traces(tmp_path / "t", loaded)
    values = TINY | {"backbone": str(rated_talker.backbone_folder(tmp_path / "b", fluency=1))}
    values |= {"traces": str(tmp_path / "t"), "sft.max_steps": 2, "sft.batch_size": 8, "sft.micro_batch_size": 8}
    settings = found.settings_of(values, "s")

    shares = []

    def fit():
        return found.fit(loaded, settings, ProtocolConfig(), 5, tmp_path / "cell", shares.append)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(*((recone_sft, "_save") if stage == "first" else (recone, "fit")), kill)
        fit()
    if stage == "second":
        monkeypatch.setattr(recone, "sft", kill)
    fitted = fit()
    assert len(fitted.rater.rate(rating_examples(loaded, "test")).predictions) == 16
    assert fitted.model.config.seed == 5 and fitted.log
    assert shares == ([0.25, 0.5, 0.25, 0.5, 0.75, 1] if stage == "first" else [0.25, 0.5, 0.75, 1])


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("methods", "error"),
    [
        (
            (MEAN, MethodConfig(method="popularity")),
            r"methods\[1\].method = 'popularity': predicts no ratings, as global",
        ),
        (
            (MethodConfig(method="popularity"), MEAN),
            r"methods\[1\].method = 'global-mean': predicts ratings, and popular",
        ),
    ],
)
def test_rankings_and_ratings_are_not_compared(methods, error):
    with pytest.raises(ConfigError, match=error):
        config(*methods)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ks": (1, 3)}, "ks"),
        ({"protocol": ProtocolConfig(negatives=3)}, "protocol.negatives"),
        ({"protocol": ProtocolConfig(exclude_seen=False)}, "protocol.exclude_seen"),
        ({"tested": ("hit@10",)}, r"tested\[0\]"),
        ({"tested": ("rmse", "parse_rate")}, r"tested\[1\]"),
    ],
)
def test_settings_of_rankings_are_refused_for_ratings(changes, field):
    with pytest.raises(ConfigError, match=f"^{field} = "):
        config(**changes)


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("bias", {"penalty": 1}, "penalty"),
        ("bias", {"seed": 1}, "seed"),
        ("reczero", {}, "backbone"),
        ("reczero", {"backbone": "b", "traces": "t"}, "traces"),
        ("reczero", {"backbone": "b", "preset": "huge"}, "preset"),
        ("recone", {"backbone": "b"}, "traces"),
        ("recone", {"backbone": "b", "traces": "t", "sft.batch_size": 0}, "sft.batch_size"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_path(name, values, field):
    with pytest.raises(ConfigError, match=f"^methods\\[1\\].settings.{field} = "):
        contestant(name, "m").settings_of(values, "methods[1].settings")


def test_a_cell_depends_on_its_traces(tmp_path):
    (tmp_path / "t").mkdir()
    found = contestant("recone", "m")

    def identity():
        return found.identity(found.settings_of({"backbone": "hub/id", "traces": str(tmp_path / "t")}, "s"))

    before = identity()
    (tmp_path / "t" / "traces.json").write_text("{}")
    assert identity() != before


def test_traces_of_another_split_than_the_protocols_are_refused(data, tmp_path):
    """Also where the data on disk was prepared anew, with the same checksum."""
    found, loaded = contestant("recone", "m"), rated_shelf.Dataset.load(data)
    write_right_traces(tmp_path / "t", loaded)
    values = TINY | {"backbone": str(rated_talker.backbone_folder(tmp_path / "b")), "traces": str(tmp_path / "t")}
    settings, other = found.settings_of(values, "s"), replace(loaded, info=loaded.info | {"split": "temporal"})

    def refused(error):
        with pytest.raises(DataError, match=error):
            found.fit(other, settings, ProtocolConfig(), 0, tmp_path / "cell", lambda share: None)

    refused("training rows of the leave-one-out split, which may be test rows of the temporal split")
    manifest = json.loads((tmp_path / "t" / "traces.json").read_text())
    del manifest["settings"]["split"]  # as they were once written
    (tmp_path / "t" / "traces.json").write_text(json.dumps(manifest))
    refused("does not name the split .* repeat the `reckon traces make`")


def test_data_without_ratings_is_refused_before_anything_is_trained(tmp_path):
    here = Here()
    with pytest.raises(DataError, match="has no ratings"):
        run_comparison(shelf.dataset(tmp_path / "d").path, config(), tmp_path / "c", runner=here)
    assert here.ran == []


def test_a_config_knows_the_task_of_every_method():
    for name in contestants():
        both = (MethodConfig(method=name), MethodConfig(method=name, name="again"))
        assert ComparisonConfig(methods=both).task == contestant(name, "m").task
