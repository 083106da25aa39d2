"""What the charts of ratings show: every row once, at its nearest value, and those without a rating apart."""

import numpy as np
from support.rated_shelf import SCALE

from reckon.data.ratings import Scale
from reckon.evaluation.rating.groups import few_values
from reckon.evaluation.rating.measure import compare_last, measure
from reckon.metrics.rating import RatingResult
from reckon.reports.rating.charts import BASELINES, counts_by_truth, error_bars, predicted_by_truth
from reckon.reports.rating.tables import counts_table, errors_table, pairs_table, problems_table


def result(predictions, targets, scale=SCALE, name="reczero", **fields):
    return RatingResult(name, np.array(predictions), np.array(targets), scale, **fields)


def test_cells_count_every_row_once_at_the_nearest_value():
    counts = counts_by_truth(result([1, 4.4, 4.5, np.nan, 5], [1, 4, 4, 4, 5]))
    assert counts.sum() == 5
    assert counts[3].tolist() == [0, 0, 0, 1, 1, 1]  # truth 4: predicted 4, 5 (from 4.5), and no rating
    assert counts[0, 0] == counts[4, 4] == 1


def test_half_steps_are_cells_of_their_own():
    counts = counts_by_truth(result([3.5, 3.2], [3.5, 4.0], Scale(0.5, 5, 0.5)))
    assert counts.shape == (10, 11) and counts[6, 6] == counts[7, 5] == 1


def test_many_values_and_no_steps_are_drawn_as_points():
    assert few_values(Scale(0, 10, 1)) and not few_values(Scale(0, 100, 1)) and not few_values(Scale(0, 1))
    dots = predicted_by_truth(result([10, 50, np.nan], [10, 60, 70], Scale(0, 100, 1)), "t", ["reczero", BASELINES])
    assert dots.count("<use") >= 2


def test_bars_are_in_the_colour_of_the_run_and_grey_for_baselines():
    rows = [measure(result([2, 3], [2, 4], name=name)) for name in ("bias", "reczero")]
    svg = error_bars(rows, "mae", 0.25, ["reczero", BASELINES])
    assert "var(--series-0)" in svg and "var(--series-1)" in svg and "best possible" in svg
    assert "0.500" in svg
    assert "best possible" not in error_bars(rows, "rmse", None, ["reczero", BASELINES])


def test_the_table_has_one_line_per_row_and_the_best_possible_last():
    grid = errors_table([measure(result([2, np.nan], [2, 4]))], {"mae": 0.25}, ["a note."])
    assert [line[0] for line in grid.rows] == ["reczero", "best possible"]
    assert grid.rows[0][1].startswith("1.500\n") and grid.rows[0][3] == "50.0%"  # the worst error of 4 is 3
    assert grid.rows[1] == ("best possible", "0.250", "", "")
    assert grid.caption.endswith("a note.")


def test_runs_show_what_they_counted_and_baselines_nothing():
    run = measure(
        result([2, np.nan], [2, 4], rates={"truncated": 0.5, "reply_length": 12.25}),
        {"off scale": 1, "order": 5, "empty match": 1, "no [pos]": 2, "unclosed rate": 1},
    )
    baseline = measure(result([2, 3], [2, 4], name="bias"))
    grid = counts_table([baseline, run])
    assert grid.headings == ("run", "truncated", "reply length", "problems")
    assert grid.rows == (("reczero", "50.0%", "12.2", "order: 5\nno [pos]: 2\nempty match: 1\nothers: 2"),)
    assert counts_table([baseline]) is None and problems_table([baseline]) is None
    assert problems_table([run]).rows[0] == ("order", "5")
    assert list(run.to_dict()["problems"]) == ["order", "no [pos]", "empty match", "off scale", "unclosed rate"]
    assert "problems" not in baseline.to_dict()


def test_a_difference_below_zero_is_better():
    users = ["a", "b", "c"]
    rows = [
        measure(result([5, 5, 5], [1, 2, 3], name="bad", user_ids=users)),
        measure(result([1, 2, 3], [1, 2, 3], user_ids=users)),
    ]
    grid = pairs_table(compare_last(rows))
    assert grid.headings == ("reczero …", "MAE", "p", "RMSE", "p")
    assert grid.rows[0][0] == "minus bad" and grid.rows[0][1].startswith("−3.000\n")
