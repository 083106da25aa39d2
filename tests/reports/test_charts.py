"""What the curves show: the logged numbers, in order, with gaps left open."""

import numpy as np
import pytest

from reckon.reports.charts import SMOOTH_FROM, curves, moving_mean, series, series_color, step_time


def test_series_follow_the_steps_whatever_the_order_of_the_log():
    log = [{"step": 3, "loss": 1.0}, {"step": 1, "loss": 3.0}, {"step": 2, "entropy": 9.0}]
    steps, values = series(log, "loss")
    assert (steps.tolist(), values.tolist()) == ([1, 3], [3, 1])


def test_infinity_is_a_gap():
    assert np.isnan(series([{"step": 1, "loss": float("inf")}], "loss")[1]).all()


def test_a_moving_mean_keeps_a_constant_and_is_cut_at_the_ends():
    assert moving_mean(np.full(40, 2.5)) == pytest.approx(np.full(40, 2.5))
    assert moving_mean(np.arange(5.0)).tolist() == pytest.approx([0.5, 1, 2, 3, 3.5])


def test_a_gap_stays_a_gap_and_spoils_nothing_around_it():
    values = np.array([1.0, np.nan, 1.0, 1.0])
    assert np.isnan(moving_mean(values)).tolist() == [False, True, False, False]
    assert np.nanmax(moving_mean(values)) == 1


def test_a_number_that_nobody_logged_has_no_chart():
    assert curves({"r2ec": [{"step": 1, "loss": 1.0}]}, "entropy", "Entropy", ["r2ec"]) is None
    assert step_time({"r2ec": [{"step": 1, "loss": 1.0}]}) is None


def test_a_long_curve_shows_the_raw_values_behind_the_mean():
    def lines(count):
        log = [{"step": step, "loss": float(step)} for step in range(count)]
        return curves({"r2ec": log}, "loss", "Loss", ["r2ec"]).count("stroke: var(--series-0)")

    assert lines(SMOOTH_FROM) == lines(SMOOTH_FROM - 1) + 1


def test_a_method_has_one_colour_in_every_chart():
    names = ["r2ec", "popularity"]
    assert series_color(names, "popularity") == series_color([*names, "another"], "popularity")
    assert series_color(names, "popularity") != series_color(names, "r2ec")


def test_step_time_adds_the_phases_up():
    log = [
        {"step": 1, "time/rollout": 1.0, "time/reward": 0.5, "time/update": 2.0},
        {"step": 2, "time/rollout": 2.0, "time/reward": 0.5, "time/update": 1.0},
    ]
    assert ">3.5 s<" in step_time({"r2ec": log})
