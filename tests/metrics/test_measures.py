"""Measures give the same numbers as the metrics themselves."""

import numpy as np
import pytest

from reckon.data.scale import Scale
from reckon.metrics import RankingResult, metric_values, minimum_detectable_difference
from reckon.metrics.measures import measure_of
from reckon.metrics.rating import RatingResult, mae_difference, rating_summary, rmse_difference

USERS = [f"u{number // 2}" for number in range(80)]  # two rows each


def result(seed, noise, missing=()):
    rng = np.random.default_rng(seed)
    targets = rng.integers(1, 6, len(USERS)).astype(float)
    predictions = np.clip(targets + noise * np.random.default_rng(seed + 1).normal(size=len(USERS)), 1, 5)
    predictions[list(missing)] = np.nan
    return RatingResult("m", predictions, targets, Scale(1, 5, 1), USERS)


def test_a_metric_of_one_seed_equals_the_evaluation():
    one = result(0, 1.0, missing=[3, 4])
    summary = rating_summary(one)
    for metric in ("mae", "rmse"):
        measure = measure_of(metric)
        values = measure.values(one)
        interval = measure.interval(values, USERS)
        assert measure.of(values) == pytest.approx(summary[metric])
        assert [interval.mean, interval.lo, interval.hi] == pytest.approx([summary[metric], *summary[f"{metric}_ci"]])
    assert measure_of("parse_rate").of(measure_of("parse_rate").values(one)) == summary["parse_rate"] == 78 / 80


@pytest.mark.parametrize(("metric", "paired"), [("mae", mae_difference), ("rmse", rmse_difference)])
def test_a_difference_of_one_seed_equals_the_evaluation(metric, paired):
    one, other, measure = result(0, 1.0), result(0, 0.5), measure_of(metric)
    assert measure.paired(measure.values(one), measure.values(other), USERS, 2000) == paired(one, other)


def test_rmse_over_seeds_is_the_root_of_the_mean_square():
    measure = measure_of("rmse")
    assert measure.of(np.mean([[1.0, 9.0], [4.0, 2.0]], axis=0)) == 2.0  # squares 1, 9, 4, 2


def test_measures_of_ranks_equal_the_metrics_of_ranks():
    ranked = RankingResult("m", np.array([1, 4, 2]), 10)
    assert (measure_of("ndcg@3").values(ranked) == metric_values(ranked, "ndcg@3")).all()
    assert not measure_of("hit@3").lower_is_better and measure_of("rmse").lower_is_better


def test_the_detectable_difference_of_means_is_that_of_significance():
    measure, one, other = measure_of("mae"), result(0, 1.0), result(0, 0.5)
    values, baseline = measure.values(one), measure.values(other)
    assert measure.detectable(values, baseline, USERS) == minimum_detectable_difference(values - baseline, USERS)


def test_the_detectable_difference_of_roots_is_2_80_standard_errors_of_the_bootstrap():
    measure, one, other = measure_of("rmse"), result(0, 1.0), result(0, 0.5)
    values, baseline = measure.values(one), measure.values(other)
    rng, pairs = np.random.default_rng(0), np.arange(len(USERS)).reshape(-1, 2)
    drawn = pairs[rng.integers(len(pairs), size=(4000, len(pairs)))].reshape(4000, -1)  # users with both rows
    differences = np.sqrt(values[drawn].mean(axis=1)) - np.sqrt(baseline[drawn].mean(axis=1))
    assert measure.detectable(values, baseline, USERS) == pytest.approx(2.80 * differences.std(), rel=0.06)


def test_against_a_perfect_predictor_a_difference_is_still_detectable():
    measure, one = measure_of("rmse"), result(0, 1.0)
    assert 0 < measure.detectable(measure.values(one), np.zeros(len(USERS)), USERS) < 1
