"""Bootstrap intervals have their nominal coverage, pair correctly and refuse bad input."""

import tracemalloc

import numpy as np
import pytest

from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics import bootstrap, bootstrap_interval, paired_interval
from reckon.metrics.bootstrap import paired_root_interval


def test_a_95_percent_interval_covers_the_truth_95_percent_of_the_time():
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(1000):
        interval = bootstrap_interval((rng.random(300) < 0.4).astype(float), resamples=600, seed=trial)
        covered += interval.lo <= 0.4 <= interval.hi
    assert 0.93 <= covered / 1000 <= 0.97


def test_users_with_several_rows_are_drawn_together():
    # 60 users of 10 rows, all rows of a user alike: the truth moves as with 60 observations, not 600.
    rng = np.random.default_rng(5)
    users = np.repeat([f"u{n}" for n in range(60)], 10)
    by_user = by_row = 0
    for trial in range(500):
        values = np.repeat((rng.random(60) < 0.4).astype(float), 10)
        clustered = bootstrap_interval(values, users, resamples=600, seed=trial)
        naive = bootstrap_interval(values, resamples=600, seed=trial)
        by_user += clustered.lo <= 0.4 <= clustered.hi
        by_row += naive.lo <= 0.4 <= naive.hi
    assert 0.91 <= by_user / 500 <= 0.98
    assert by_row / 500 < 0.6


def test_the_standard_error_is_the_textbook_one():
    values = (np.arange(2000) % 4 == 0).astype(float)
    interval = bootstrap_interval(values, resamples=5000)
    expected = 1.96 * np.sqrt(0.25 * 0.75 / 2000)
    assert interval.mean == 0.25
    assert (interval.hi - interval.lo) / 2 == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("root", [False, True], ids=["mean", "root mean"])
def test_many_distinct_values_have_the_interval_of_few(monkeypatch, root):
    rng = np.random.default_rng(3)
    values, baseline = rng.exponential(size=400), rng.exponential(size=400)
    users = np.repeat([f"u{n}" for n in range(100)], 4)
    measured = paired_root_interval if root else paired_interval
    few = measured(values, baseline, users, resamples=20_000)
    monkeypatch.setattr(bootstrap, "MOST_PAIRS", 50)
    many = measured(values, baseline, users, resamples=20_000)
    assert many.difference == few.difference
    assert (many.lo, many.hi) != (few.lo, few.hi)
    assert many.hi - many.lo == pytest.approx(few.hi - few.lo, rel=0.05)
    assert many.lo == pytest.approx(few.lo, abs=0.05 * (few.hi - few.lo))


def test_many_distinct_values_in_another_order_have_the_same_interval(monkeypatch):
    monkeypatch.setattr(bootstrap, "MOST_PAIRS", 50)
    values = np.random.default_rng(1).random(200)
    first, again = bootstrap_interval(values, seed=4), bootstrap_interval(values[::-1].copy(), seed=4)
    assert (first.lo, first.hi) == (again.lo, again.hi)
    assert 0 < again.hi - again.lo < 0.2


def test_one_user_per_row_is_the_default():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, [str(n) for n in range(50)]).lo == pytest.approx(bootstrap_interval(values).lo)


def test_the_interval_is_a_function_of_values_and_seed_not_of_order():
    values = np.random.default_rng(1).integers(0, 3, 200).astype(float)
    assert bootstrap_interval(values, seed=4) == bootstrap_interval(values[::-1].copy(), seed=4)
    assert bootstrap_interval(values, seed=4).lo != bootstrap_interval(values, seed=5).lo


def test_constant_values_have_a_point_interval():
    interval = bootstrap_interval(np.full(30, 0.7))
    assert (interval.lo, interval.hi) == pytest.approx((0.7, 0.7))


def test_pairing_finds_a_difference_that_separate_intervals_hide():
    rng = np.random.default_rng(2)
    baseline = (rng.random(1000) < 0.5).astype(float)
    better = np.where(rng.random(1000) < 0.03, 1.0, baseline)  # only ever gains, and never loses a user
    pair = paired_interval(better, baseline)
    assert 0 < pair.lo < pair.difference < pair.hi
    assert pair.p_value < 0.01
    assert bootstrap_interval(better).lo < bootstrap_interval(baseline).hi


def test_equal_methods_have_a_difference_of_zero():
    values = np.random.default_rng(0).random(100)
    pair = paired_interval(values, values)
    assert (pair.difference, pair.lo, pair.hi, pair.p_value) == (0, 0, 0, 1)


def test_the_p_value_is_symmetric():
    rng = np.random.default_rng(9)
    a, b = rng.random(200), rng.random(200)
    assert paired_interval(a, b).p_value == pytest.approx(paired_interval(b, a).p_value, abs=0.05)


def test_p_values_of_no_difference_are_spread_evenly():
    rng = np.random.default_rng(21)
    p_values = [paired_interval(rng.random(200), rng.random(200), resamples=300, seed=n).p_value for n in range(400)]
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.08


def test_ten_thousand_users_need_little_memory():
    values = np.random.default_rng(0).random(10_000)  # all distinct: the worst case
    tracemalloc.start()
    bootstrap_interval(values, resamples=400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: bootstrap_interval(np.array([])), ShapeError),
        (lambda: bootstrap_interval(np.zeros((2, 2))), ShapeError),
        (lambda: bootstrap_interval(np.array([0.0, np.nan])), DataError),
        (lambda: bootstrap_interval(np.zeros(3), ["a"]), ShapeError),
        (lambda: bootstrap_interval(np.zeros(3), resamples=10), ConfigError),
        (lambda: bootstrap_interval(np.zeros(3), confidence=95), ConfigError),
        (lambda: paired_interval(np.zeros(3), np.zeros(4)), ShapeError),
    ],
)
def test_bad_input_is_refused(call, error):
    with pytest.raises(error):
        call()
