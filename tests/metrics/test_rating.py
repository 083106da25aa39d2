"""MAE, RMSE, parse rate, paired differences and calibration: hand-computed cases and laws."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from reckon.data.scale import Scale
from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics import bootstrap_interval
from reckon.metrics.bootstrap import paired_root_interval
from reckon.metrics.rating import (
    RatingResult,
    absolute_errors,
    calibration,
    mae,
    mae_difference,
    mae_interval,
    parse_rate,
    rating_summary,
    rmse,
    rmse_difference,
    rmse_interval,
    squared_errors,
)

STARS = Scale(1, 5, 1)
NAN = float("nan")


def result(predictions, targets, scale=STARS, name="method", **fields):
    return RatingResult(name, np.array(predictions, dtype=float), np.array(targets, dtype=float), scale, **fields)


def random_result(seed=0, rows=300, users=100, unparsed=0.05, name="method"):
    rng = np.random.default_rng(seed)
    targets = np.random.default_rng(99).integers(1, 6, rows).astype(float)
    predictions = np.clip(targets + rng.normal(0, 1, rows), 1, 5)
    predictions[rng.random(rows) < unparsed] = NAN
    return result(predictions, targets, name=name, user_ids=[f"u{n % users}" for n in range(rows)])


def test_errors_are_distances_in_rating_units():
    found = result([4, 4.5, 1], [5, 4, 3])
    assert absolute_errors(found).tolist() == [1, 0.5, 2]
    assert squared_errors(found).tolist() == [1, 0.25, 4]
    assert mae(found) == pytest.approx(3.5 / 3)
    assert rmse(found) == pytest.approx((5.25 / 3) ** 0.5)
    assert parse_rate(found) == 1


@pytest.mark.parametrize(
    ("scale", "target", "worst"),
    [
        (STARS, 5, 4),
        (STARS, 1, 4),
        (STARS, 3, 2),
        (STARS, 2, 3),
        (Scale(0.5, 5, 0.5), 0.5, 4.5),
        (Scale(0.5, 5, 0.5), 3.5, 3),
        (Scale(0, 10, 1), 7, 7),
    ],
)
def test_an_unparseable_reply_makes_the_worst_error_of_the_scale(scale, target, worst):
    found = result([NAN], [target], scale)
    assert absolute_errors(found).tolist() == [worst]
    assert squared_errors(found).tolist() == [worst**2]
    assert (mae(found), rmse(found), parse_rate(found)) == (worst, worst, 0)


@pytest.mark.parametrize("target", [1, 2, 3, 4, 5])
def test_no_rating_on_the_scale_has_a_larger_error_than_nan(target):
    none = absolute_errors(result([NAN], [target]))[0]
    assert none == max(absolute_errors(result([rating], [target]))[0] for rating in STARS.values())


def test_unparseable_rows_stay_in_the_denominator():
    found = result([4, NAN, NAN, 4], [4, 4, 5, 4])
    assert mae(found) == (0 + 3 + 4 + 0) / 4
    assert rmse(found) == pytest.approx((25 / 4) ** 0.5)
    assert parse_rate(found) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_rmse_is_at_least_mae(seed):
    found = random_result(seed)
    assert mae(found) <= rmse(found) <= STARS.range


def test_a_constant_error_has_a_point_interval():
    found = result([3] * 30, [4] * 30)
    for interval in (mae_interval(found), rmse_interval(found)):
        assert (interval.mean, interval.lo, interval.hi) == pytest.approx((1, 1, 1))


def test_intervals_hold_the_metric_and_draw_users_together():
    found = random_result()
    for metric, interval in ((mae, mae_interval(found)), (rmse, rmse_interval(found))):
        assert interval.mean == pytest.approx(metric(found))
        assert interval.lo < interval.mean < interval.hi
    twins = result(
        np.repeat(found.predictions, 10),
        np.repeat(found.targets, 10),
        user_ids=np.repeat(np.arange(300).astype(str), 10),
    )
    alone = result(found.predictions, found.targets)
    assert mae_interval(twins).hi == pytest.approx(mae_interval(alone).hi, abs=0.01)  # ten equal rows add nothing


def test_the_rmse_interval_covers_the_truth_95_percent_of_the_time():
    rng = np.random.default_rng(8)
    targets = np.full(200, 50.0)
    scale, covered = Scale(0, 100), 0
    for trial in range(400):
        found = result(targets + rng.normal(0, 3, 200), targets, scale)
        interval = rmse_interval(found, resamples=400, seed=trial)
        covered += interval.lo <= 3 <= interval.hi
    assert 0.91 <= covered / 400 <= 0.98


def test_a_row_of_the_summary_is_json_with_the_parse_rate():
    found = random_result()
    row = json.loads(json.dumps(rating_summary(found), allow_nan=False))
    assert list(row) == ["name", "mae", "mae_ci", "rmse", "rmse_ci", "parse_rate"]
    assert row["mae"] == mae(found) and row["rmse"] == rmse(found) and row["parse_rate"] == parse_rate(found) < 1
    assert row["mae_ci"][0] < row["mae"] < row["mae_ci"][1]


def test_paired_differences_are_the_differences_of_the_metrics():
    one, other = random_result(1), random_result(2)
    assert mae_difference(one, other).difference == pytest.approx(mae(one) - mae(other))
    assert rmse_difference(one, other).difference == pytest.approx(rmse(one) - rmse(other))
    assert mae_difference(other, one).difference == pytest.approx(mae(other) - mae(one))


@pytest.mark.parametrize("difference", [mae_difference, rmse_difference])
def test_a_method_does_not_differ_from_itself(difference):
    found = difference(random_result(), random_result())
    assert (found.difference, found.lo, found.hi, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize("difference", [mae_difference, rmse_difference])
def test_pairing_finds_a_difference_that_separate_intervals_hide(difference):
    rng = np.random.default_rng(2)
    targets, users = rng.integers(1, 6, 500).astype(float), [str(n) for n in range(500)]
    hard = rng.normal(0, 1, 500)
    worse = result(np.clip(targets + hard, 1, 5), targets, user_ids=users)
    better = result(np.clip(targets + 0.95 * hard, 1, 5), targets, user_ids=users)
    found = difference(better, worse)
    assert found.difference < 0 and found.hi < 0 and found.p_value < 0.01
    assert mae_interval(better).hi > mae_interval(worse).lo


def test_the_rmse_difference_is_that_of_roots_over_the_same_resampled_users():
    """Checked against a plain bootstrap that draws users one by one."""
    one, other = random_result(3, rows=60, users=20), random_result(4, rows=60, users=20)
    rows = np.stack([np.flatnonzero(one.user_ids == user) for user in np.unique(one.user_ids.astype(str))])  # [20, 3]
    chosen = rows[np.random.default_rng(0).integers(0, 20, size=(40_000, 20))].reshape(40_000, -1)
    roots = [np.sqrt(squared_errors(method)[chosen].mean(axis=1)) for method in (one, other)]
    drawn = roots[0] - roots[1]
    found = rmse_difference(one, other, resamples=40_000)
    assert (found.lo, found.hi) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


def test_root_intervals_refuse_negative_values():
    with pytest.raises(DataError, match=r"values\[1\]"):
        paired_root_interval(np.array([1.0, 2.0]), np.array([1.0, -0.1]))
    with pytest.raises(ShapeError):
        paired_root_interval(np.ones(2), np.ones(3))


def test_each_column_has_the_interval_of_a_single_column():
    """Two columns resampled together have the intervals of each column alone."""
    values = np.random.default_rng(0).random(80)
    users = [f"u{n % 30}" for n in range(80)]
    both = paired_root_interval(values**2, np.zeros(80), users, seed=3)
    alone = bootstrap_interval(values**2, users, seed=3)
    assert both.lo == pytest.approx(alone.lo**0.5) and both.hi == pytest.approx(alone.hi**0.5)


@pytest.mark.parametrize(
    "other",
    [
        result([4, 4], [5, 3], user_ids=["b", "a"]),
        result([4, 4, 4], [5, 3, 3], user_ids=["a", "b", "c"]),
        result([4, 4], [5, 4], user_ids=["a", "b"]),
        result([4, 4], [5, 3], Scale(0, 5, 1), user_ids=["a", "b"]),
        result([4, 4], [5, 3]),
    ],
    ids=["order", "count", "targets", "scale", "no ids"],
)
@pytest.mark.parametrize("difference", [mae_difference, rmse_difference])
def test_a_pair_of_results_on_other_rows_is_refused(difference, other):
    with pytest.raises(DataError, match="against"):
        difference(result([4, 4], [5, 3], user_ids=["a", "b"]), other)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: result([6], [5]), DataError),
        (lambda: result([0.5], [5]), DataError),
        (lambda: result([float("inf")], [5]), DataError),
        (lambda: result([4], [6]), DataError),
        (lambda: result([4], [NAN]), DataError),
        (lambda: result([], []), ShapeError),
        (lambda: result([[4]], [[4]]), ShapeError),
        (lambda: result([4, 4], [4]), ShapeError),
        (lambda: result([4], [4], user_ids=["a", "b"]), ShapeError),
        (lambda: result([4], [4], spread=np.array([1.0, 2.0])), ShapeError),
        (lambda: result([4], [4], spread=np.array([-1.0])), DataError),
    ],
)
def test_an_invalid_result_is_refused(make, error):
    with pytest.raises(error, match="method"):
        make()


def test_calibration_bins_of_equal_count_go_from_small_to_large_spread():
    spread = np.array([0.4, 0.1, 0.3, 0.2])
    found = calibration(result([4, 4, 4, 4], [3, 4, 5, 4], spread=spread), bins=2)
    low, high = found.bins
    assert (low.rows, low.spread, low.rmse, low.inside) == pytest.approx((2, 0.15, 0, 1))
    assert (high.rows, high.spread, high.rmse, high.inside) == pytest.approx((2, 0.35, 1, 0))
    assert found.inside == 0.5 and found.left_out == 0
    assert found.spearman == pytest.approx(2 / 5**0.5)  # ranks 1 2 3 4 against 1.5 1.5 3.5 3.5


def test_a_calibrated_spread_is_the_rmse_of_its_bin():
    rng = np.random.default_rng(0)
    spread = rng.uniform(1, 8, 20_000)
    targets = np.full(20_000, 50.0)
    found = calibration(result(targets + spread * rng.normal(size=20_000), targets, Scale(0, 100), spread=spread))
    assert [line.rows for line in found.bins] == [2000] * 10
    for line in found.bins:
        assert line.rmse == pytest.approx(line.spread, rel=0.08)
        assert line.inside == pytest.approx(0.954, abs=0.02)
    assert 0.3 < found.pearson < 0.6 and 0.3 < found.spearman < 0.6


def test_correlations_are_scipys():
    from scipy import stats

    rng = np.random.default_rng(4)
    spread, targets = rng.integers(0, 4, 200) / 4, rng.integers(1, 6, 200).astype(float)
    predictions = rng.integers(1, 6, 200).astype(float)
    found = calibration(result(predictions, targets, spread=spread))
    errors = np.abs(predictions - targets)
    assert found.pearson == pytest.approx(stats.pearsonr(spread, errors).statistic)
    assert found.spearman == pytest.approx(stats.spearmanr(spread, errors).statistic)


def test_rows_of_one_spread_share_a_bin_and_order_does_not_matter():
    spread = np.array([0.0] * 6 + [0.5, 0.6, 0.7, 0.8])
    targets, predictions = np.full(10, 3.0), np.linspace(1, 5, 10)
    found = calibration(result(predictions, targets, spread=spread), bins=5)
    assert found.bins[0].rows == 6 and sum(line.rows for line in found.bins) == 10
    shuffled = np.random.default_rng(0).permutation(10)
    again = calibration(result(predictions[shuffled], targets, spread=spread[shuffled]), bins=5)
    assert [(line.rows, line.spread) for line in again.bins] == [(line.rows, line.spread) for line in found.bins]
    assert [line.rmse for line in again.bins] == pytest.approx([line.rmse for line in found.bins])


def test_unparseable_rows_are_left_out_of_calibration_and_counted():
    found = calibration(result([4, NAN, 4], [4, 4, 4], spread=np.array([0.1, 0.2, NAN])), bins=3)
    assert found.left_out == 2
    assert [line.rows for line in found.bins] == [1]
    assert found.pearson is None and found.spearman is None


@pytest.mark.parametrize(
    ("fields", "error"),
    [({}, DataError), ({"spread": np.array([NAN, 0.1])}, DataError), ({"spread": np.array([0.1, 0.1])}, ConfigError)],
    ids=["no spread", "none known", "no bins"],
)
def test_calibration_needs_a_spread_and_a_bin(fields, error):
    with pytest.raises(error):
        calibration(result([4, NAN], [4, 4], **fields), bins=0 if error is ConfigError else 10)


def test_the_worked_example_of_the_documentation_gives_the_numbers_beside_it():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    section = page.partition("## Metrics of ratings")[2]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    names = {}
    exec("\n".join(line for line in block.splitlines() if not re.match(r"\w+\(", line)), names)
    stated = re.findall(r"^(\w+\(.*?\)) +# (\d\.\d{4})$", block, re.MULTILINE)
    assert len(stated) == 3
    for call, value in stated:
        assert eval(call, names) == pytest.approx(float(value), abs=5e-5)
    assert "MAE 1.125" in section and "RMSE 1.601" in section
