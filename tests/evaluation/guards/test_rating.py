"""Guards of ratings warn of leaks and refuse impossible numbers."""

from dataclasses import replace

import numpy as np
import pytest
from support import rated_shelf, rated_talker

from reckon.comparison.config import ProtocolConfig, PublishedConfig
from reckon.comparison.rating.contestants import FittedRater, RatedBaseline, RatedModel
from reckon.comparison.rating.rows import RatingRows, rating_rows_of
from reckon.comparison.rating.task import RatingTask
from reckon.comparison.registry import contestant
from reckon.errors import DataError
from reckon.evaluation.guards.rating import data_findings, refuse_impossible_errors
from reckon.methods.reczero import RecZero
from reckon.methods.reczero.model import RecZeroModel

TASK, PROTOCOL = RatingTask(), ProtocolConfig()


class Predictor:
    """Predicts what a function of the examples says."""

    def __init__(self, predict):
        self.predict = predict


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return rated_shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def rows(data):
    return rating_rows_of(data, "test", None)


def varied(examples):
    return np.linspace(1, 5, len(examples))


def checked(data, rows, predict=varied, method="bias", fitted=None):
    fitted = fitted or FittedRater(RatedBaseline(Predictor(predict)))
    recommendations = TASK.recommend(fitted, rows, data, 0, lambda count: None)
    TASK.result("m", recommendations, rows, data, {})
    findings = TASK.findings(contestant(method, "m"), fitted, rows, recommendations, data, PROTOCOL)
    return {one.check: one.level for one in findings}


def test_a_clean_method_has_no_warning(data, rows):
    assert checked(data, rows) == {"predictions depend on the true rating": "ok"}


def test_clean_data_has_no_warning(data, rows):
    levels = {one.check: one.level for one in data_findings(data, rows.examples)}
    assert levels["future events in histories"] == "ok" and levels["items rated before"] == "ok"


@pytest.mark.parametrize("days", [1, 3])
def test_a_shown_rating_that_is_not_older_gives_a_warning(data, rows, days):
    late = replace(rows.examples, times=rows.examples.times - days * rated_shelf.DAY)
    found = data_findings(data, late)[0]
    assert (found.check, found.level) == ("future events in histories", "warning")


def test_one_rating_for_all_rows_gives_a_warning_unless_by_design(data, rows):
    def constant(examples):
        return np.full(len(examples), 4.0)

    assert checked(data, rows, constant)["constant output"] == "warning"
    assert "constant output" not in checked(data, rows, constant, method="global-median")


def test_a_method_that_reads_the_true_rating_gives_a_warning(data, rows):
    levels = checked(data, rows, lambda examples: examples.ratings)
    assert levels["predictions depend on the true rating"] == "warning"


@pytest.mark.parametrize(("value", "error"), [(np.nan, "is NaN"), (5.5, "not on the scale"), (np.inf, "not on the")])
def test_an_invalid_prediction_is_refused(data, rows, value, error):
    def broken(examples):
        predictions = varied(examples)
        predictions[2] = value
        return predictions

    with pytest.raises(DataError, match=error):
        checked(data, rows, broken)


class Silent:
    """A rater whose replies never end."""

    def rate(self, examples, on_batch=None):
        return rated_shelf.rated(["<analyze user>it" for _ in range(len(examples))])


def test_unreadable_replies_and_groups_without_advantage_give_warnings(data, rows, tmp_path):
    model = rated_talker.predictor(tmp_path / "b", data)
    log = [{"advantage/zero_groups": share} for share in (0.1, 0.1, 0.9, 0.9)]
    levels = checked(data, rows, method="reczero", fitted=FittedRater(Silent(), model, log=log))
    assert (
        levels["truncated replies"] == levels["unreadable replies"] == levels["groups without advantage"] == "warning"
    )
    assert levels["true rating in prompt"] == "ok"


def test_a_true_rating_in_the_prompt_gives_a_warning(data, rows, tmp_path, monkeypatch):
    model, whole = rated_talker.predictor(tmp_path / "b", data), RecZero.prompt

    def leaky(self, row):
        prompt = whole(self, row)
        return replace(prompt, ids=[int(row.rating), *prompt.ids])

    monkeypatch.setattr(RecZeroModel, "prompt", leaky)
    levels = checked(data, rows, method="reczero", fitted=FittedRater(RatedModel(model), model))
    assert levels["true rating in prompt"] == "warning"


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"mae": -0.1}, "outside 0..4"),
        ({"rmse": 4.2}, "outside 0..4"),
        ({"mae": float("nan")}, "outside 0..4"),
        ({"parse_rate": 1.5}, "outside 0..1"),
        ({"mae": 1.0, "rmse": 0.9}, "below mae"),
    ],
)
def test_impossible_errors_are_refused(data, values, error):
    with pytest.raises(DataError, match=error):
        TASK.refuse_published(PublishedConfig(name="P", values=values, note="n"), data, None)
    refuse_impossible_errors("m", {"mae": 0.5, "rmse": 0.5, "parse_rate": 1.0}, rated_shelf.SCALE)


def test_other_rows_have_another_checksum(data, rows):
    fewer = rating_rows_of(data, "test", 5)
    other = RatingRows(replace(rows.examples, ratings=rows.examples.ratings[::-1]))
    assert len({rows.checksum, fewer.checksum, other.checksum}) == 3
    assert rating_rows_of(data, "test", None).checksum == rows.checksum
