"""Holm's correction and detectable differences: cases worked out by hand, laws, and simulations."""

import numpy as np
import pytest

from reckon.errors import DataError, ShapeError
from reckon.metrics import bootstrap_interval, holm, minimum_detectable_difference, paired_interval, spread
from reckon.metrics.significance import enough_resamples


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == [] and holm([0.02]) == [0.02]


def test_holm_refuses_values_outside_zero_to_one():
    with pytest.raises(DataError, match="not all in 0"):
        holm([0.1, float("nan")])


def test_there_are_enough_resamples_for_a_p_value_that_survives_the_correction():
    for comparisons in (1, 10, 300):
        assert comparisons * 2 / (enough_resamples(comparisons) + 1) < 0.05 / 2


def test_minimum_detectable_difference_by_hand():
    differences = np.array([1.0, -1.0] * 50)
    error = np.sqrt(100 / 99 / 100)
    assert minimum_detectable_difference(differences) == pytest.approx((1.959963985 + 0.841621234) * error, abs=1e-8)


def test_rows_of_one_user_count_as_one():
    values = np.random.default_rng(0).normal(size=60)
    once = minimum_detectable_difference(values)
    users = [f"u{n}" for n in range(60)]
    copied = minimum_detectable_difference(np.repeat(values, 5), np.repeat(users, 5))
    assert copied == pytest.approx(once)
    assert minimum_detectable_difference(np.repeat(values, 5)) < once / 2


def test_one_user_detects_nothing():
    with pytest.raises(ShapeError):
        minimum_detectable_difference(np.array([1.0, 2.0]), ["u", "u"])


def test_a_difference_of_that_size_is_found_in_about_four_of_five_experiments():
    rng, found = np.random.default_rng(0), 0
    detectable = minimum_detectable_difference(rng.normal(size=100_000)) * np.sqrt(100_000 / 200)
    for seed in range(200):
        paired = paired_interval(rng.normal(detectable, 1, 200), np.zeros(200), resamples=400, seed=seed)
        found += paired.lo > 0
    assert 0.72 <= found / 200 <= 0.88


@pytest.mark.parametrize("rows_of_a_user", [1, 4])
@pytest.mark.parametrize("share", [0.15, 0.4])
def test_intervals_cover_the_truth_in_93_to_97_percent_of_experiments(share, rows_of_a_user):
    """Users differ in how easy they are, as real ones do; the truth is the mean over all users."""
    rng, inside, experiments = np.random.default_rng(7), 0, 1000
    users = np.repeat([f"u{n}" for n in range(300)], rows_of_a_user)
    for seed in range(experiments):
        ease = rng.beta(share * 4, (1 - share) * 4, 300)
        hits = (rng.random(len(users)) < np.repeat(ease, rows_of_a_user)).astype(float)
        interval = bootstrap_interval(hits, users, resamples=400, seed=seed)
        inside += interval.lo <= share <= interval.hi
    assert 0.93 <= inside / experiments <= 0.97


def test_spread_is_the_sample_deviation():
    assert spread([1, 2, 3]) == 1 and spread([5]) == 0
