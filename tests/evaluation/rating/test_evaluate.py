"""Evaluating a run that predicts ratings: counts of unparseable replies, equal rows, refused comparisons."""

import json
import shutil

import numpy as np
import pytest
from rich.console import Console
from support import rated_shelf
from support.rated_shelf import reply

from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.checksums import add_checksums
from reckon.data.ratings import rating_examples
from reckon.errors import CheckpointError, ConfigError, MissingExtraError
from reckon.evaluation.rating.evaluate import baseline_results, evaluate_ratings
from reckon.evaluation.rating.examples import first_rows, worst_rows
from reckon.evaluation.run import evaluate
from reckon.methods.finished import names_of, task_of
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RecZeroModel
from reckon.metrics.rating import mae
from reckon.reports.write import tables_of, write_evaluation
from reckon.runs.read import dataset_of

pytestmark = pytest.mark.usefixtures("charts_undrawn")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set and a finished run, `data` and `run`, of a model that never writes the form."""
    path = tmp_path_factory.mktemp("rating")
    data = rated_shelf.dataset(path / "data")
    rated_shelf.predictor(path / "backbone", data).fit(data, path / "run")
    return path


@pytest.fixture
def written(monkeypatch):
    """Make every model write these replies, in turn."""

    def write(*replies):
        monkeypatch.setattr(
            RecZeroModel, "replies", lambda self, rollouts: [replies[n % len(replies)] for n in range(len(rollouts))]
        )

    return write


def saved(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_model_whose_replies_never_parse_has_the_largest_possible_errors(place, tmp_path):
    evaluation = evaluate(place / "run")
    write_evaluation(evaluation, tmp_path)
    row, truth = evaluation.rows[-1], evaluation.results[-1].targets
    assert (row.name, row.summary["parse_rate"]) == ("reczero", 0)
    assert row.summary["mae"] == pytest.approx(np.maximum(truth - 1, 5 - truth).mean())
    assert row.result.rates["parsed"] == 0 and row.result.rates["truncated"] == 1
    assert sum(row.problems.values()) == len(truth) == 16
    read = saved(tmp_path)
    assert read["rows"][-1]["problems"] == row.problems
    assert {"truncated", "reply_length", "seconds_per_user", "mae_ci", "rmse"} <= set(read["rows"][-1])


def test_every_baseline_that_can_be_fitted_stands_before_the_run(place, tmp_path, monkeypatch):
    class Absent:
        @classmethod
        def fit(cls, dataset, seed=0):
            raise MissingExtraError("scikit-surprise", "baselines", "it")

    monkeypatch.setitem(RATING_BASELINES, "matrix-factorization", Absent)
    evaluation = evaluate(place / "run")
    write_evaluation(evaluation, tmp_path)
    fitted = [name for name in RATING_BASELINES if name != "matrix-factorization"]
    assert [row.name for row in evaluation.rows] == [*fitted, "reczero"]
    console = Console(width=80, record=True)
    for table in tables_of(evaluation):
        console.print(table.to_rich())
    text = " ".join(console.export_text().split())
    assert "matrix-factorization is left out: it needs pip install 'reckon-recsys[baselines]'." in text
    assert (tmp_path / "report.html").read_text().count("matrix-factorization is left out") == 1


def test_right_replies_have_no_error_and_the_run_is_paired_with_every_other_row(place, tmp_path, written):
    written(reply(3))
    evaluation = evaluate(place / "run", best_possible={"mae": 0.1, "rmse": 0.2})
    write_evaluation(evaluation, tmp_path)
    truth = evaluation.results[-1].targets
    assert evaluation.rows[-1].summary["mae"] == pytest.approx(np.abs(truth - 3).mean())
    assert evaluation.rows[-1].problems == {}
    others = [row.name for row in evaluation.rows[:-1]]
    assert [(pair.name, pair.baseline, pair.metric) for pair in evaluation.pairs] == [
        ("reczero", name, metric) for name in others for metric in ("mae", "rmse")
    ]
    first = evaluation.pairs[0].paired.difference
    assert first == pytest.approx(evaluation.rows[-1].summary["mae"] - evaluation.rows[0].summary["mae"])
    assert saved(tmp_path)["best_possible"] == {"mae": 0.1, "rmse": 0.2}


def test_samples_add_the_mean_with_its_spread_and_count_every_reply(place, tmp_path, written):
    written(reply(2), reply(4), "nothing")
    evaluation = evaluate(place / "run", samples=3, baselines=False)
    write_evaluation(evaluation, tmp_path)
    likely, mean = evaluation.rows
    assert (likely.name, mean.name) == ("reczero", "reczero, mean of 3")
    assert (mean.result.predictions == 3).all() and mean.result.spread == pytest.approx(np.full(16, 2**0.5))
    assert likely.result.spread is None
    assert mean.problems == {"missing analyze user": 16}
    assert mean.result.rates["parsed"] == pytest.approx(2 / 3) and mean.summary["parse_rate"] == 1
    assert [(pair.name, pair.baseline) for pair in evaluation.pairs] == [("reczero, mean of 3", "reczero")] * 2
    report = (tmp_path / "report.html").read_text()
    assert "Calibration: reczero, mean of 3" in report and "3 sampled replies: mean 3.00, spread 1.41." in report


def test_runs_beside_are_named_apart_and_come_before_the_run(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "again")
    shutil.copytree(place / "run", tmp_path / "exact")
    manifest = json.loads((tmp_path / "exact" / "manifest.json").read_text())
    (tmp_path / "exact" / "manifest.json").write_text(json.dumps(manifest | {"arm": "exact-answer"}))
    add_checksums(tmp_path / "exact", [])
    beside = [tmp_path / "again", tmp_path / "exact"]
    evaluation = evaluate(place / "run", beside=beside, baselines=False)
    write_evaluation(evaluation, tmp_path)
    assert [row.name for row in evaluation.rows] == ["reczero (again)", "exact-answer", "reczero"]
    assert {row.result.predictions.tobytes() for row in evaluation.rows} == {
        evaluation.results[0].predictions.tobytes()
    }
    assert {pair.name for pair in evaluation.pairs} == {"reczero"}


def test_one_run_given_twice_is_refused(place):
    with pytest.raises(CheckpointError, match="given twice"):
        names_of(place / "run", [place / "run"])


def test_other_data_than_that_of_the_training_is_refused(place, tmp_path):
    rated_shelf.dataset(tmp_path / "other", shift=1)
    with pytest.raises(CheckpointError, match="checksums differ"):
        evaluate(place / "run", data=tmp_path / "other")
    with pytest.raises(CheckpointError, match="does not name its data set"):
        dataset_of(place / "run", None, None)


def test_moved_data_is_found_where_it_is_said_to_be(place, tmp_path):
    shutil.copytree(place / "data", tmp_path / "moved")
    dataset = dataset_of(place / "run", place / "gone", tmp_path / "moved")
    assert dataset.path == tmp_path / "moved"


def test_data_that_is_gone_names_the_option_that_finds_it(place):
    with pytest.raises(CheckpointError, match=r"which is gone\. Fix: .*--data DIR"):
        dataset_of(place / "run", place / "gone", None)


def test_a_run_of_the_other_task_and_no_run_at_all_are_refused(place, tmp_path):
    (tmp_path / "r2ec.json").touch()
    assert (task_of(place / "run"), task_of(tmp_path)) == ("rating", "ranking")
    with pytest.raises(CheckpointError, match="ranks items"):
        evaluate_ratings(tmp_path)
    with pytest.raises(CheckpointError, match="another task"):
        names_of(place / "run", [tmp_path])
    with pytest.raises(CheckpointError, match="not a finished run"):
        evaluate(tmp_path / "nowhere")


def test_zero_samples_are_refused(place):
    with pytest.raises(ConfigError, match="samples"):
        evaluate(place / "run", samples=0)


def test_baselines_predict_the_rows_of_the_split(place):
    data = dataset_of(place / "run", None, place / "data")
    results, _ = baseline_results(data, "valid")
    examples = rating_examples(data, "valid")
    assert all(np.array_equal(result.targets, examples.ratings) for result in results)
    median = next(result for result in results if result.name == "global-median")
    assert mae(median) == pytest.approx(np.abs(examples.ratings - median.predictions[0]).mean())


def test_the_first_rows_are_shown_as_examples(place):
    model = RecZero.from_pretrained(place / "run")
    examples = rating_examples(dataset_of(place / "run", None, place / "data"), "test").subset([4, 2, 9])
    rated = rated_shelf.rated([reply(5), "<rate>5", reply(9)])
    shown = first_rows(model, examples, rated, rated)
    assert [row.predicted for row in shown] == [5, None, None]
    assert [row.problem for row in shown] == ["", "missing analyze user", "off scale"]
    assert [row.truncated for row in shown] == [False, True, False]
    assert [row.user_id for row in shown] == list(examples.user_ids)
    assert [row.truth for row in shown] == examples.ratings.tolist()
    assert shown[0].steps == [
        ("The user", "likes <b>calm</b> books"),
        ("For the item", "calm"),
        ("Against it", "long"),
        ("The match", "a good fit"),
        ("Rating", "5"),
    ]
    assert shown[1].steps == [] and shown[1].reply == "<rate>5"
    assert {row.note for row in shown} == {""}


def test_the_rows_with_the_largest_errors_are_shown_as_worst_cases(place):
    model = RecZero.from_pretrained(place / "run")
    examples = rating_examples(dataset_of(place / "run", None, place / "data"), "test")
    replies = [reply(example.rating) for example in examples]
    wrong = [row for row in (8, 12) if row < len(examples)]
    replies[8] = reply(1 if examples[8].rating > 3 else 5)
    replies[12] = "no rating at all"
    rated = rated_shelf.rated(replies)
    shown = worst_rows(model, examples, rated)
    assert {row.user_id for row in shown[:2]} == {examples[row].user_id for row in wrong}
    assert not {row.user_id for row in shown} & {row.user_id for row in first_rows(model, examples, rated)}


def test_findings_cover_the_data_and_every_run_and_the_terminal_shows_warnings(place):
    evaluation = evaluate(place / "run", baselines=False)
    assert list(evaluation.findings) == ["data", "reczero"]
    warned = tables_of(evaluation)[-1]
    assert ("reczero", "unreadable replies", "warning", "100% of the replies do not parse") in warned.rows
    assert warned.caption.startswith("Guards: ")


def test_errors_are_grouped_by_visible_ratings_of_user_and_item(place):
    evaluation = evaluate(place / "run", baselines=False)
    assert [group.by for group in evaluation.groups] == ["ratings of the user", "ratings of the item"]
    assert all(list(group.means) == ["reczero"] for group in evaluation.groups)
