"""Metrics of predicted ratings: MAE, RMSE, parse rate, paired differences, calibration.

Entry points: `RatingResult` holds predictions, `rating_summary` gives all metrics with intervals, `mae_difference` and
`rmse_difference` compare two results on the same rows, `calibration` compares the stated spread with the error.

U is the number of test rows: one (user, item, true rating) each. Every mean is over all U rows; the intervals
resample users with all their rows (`reckon.metrics.bootstrap`).

Rules, the same for every metric:
- NaN stands for a reply that did not parse. Its error is the largest that any rating on the scale could have: max(truth
- lowest, highest - truth). The row stays in the denominator and lowers the parse rate.
- Every other prediction must lie on the scale; clip the predictions of a model that can leave it.
- Errors are in rating units (stars).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reckon.data.scale import Scale
from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics.bootstrap import (
    Interval,
    PairedDifference,
    bootstrap_interval,
    bootstrap_root_interval,
    paired_interval,
    paired_root_interval,
)

FloatArray = npt.NDArray[np.floating]
BINS = 10
SPREADS = 2.0  # an error of at most two spreads counts as inside; 95 % of normal errors are


@dataclass(frozen=True, eq=False, slots=True)
class RatingResult:
    """Predicted ratings of one predictor over U test rows."""

    name: str
    """Name in tables and charts, such as `bias`, `reczero`."""
    predictions: FloatArray
    """[U] predicted ratings on the scale; NaN where the reply did not parse."""
    targets: FloatArray
    """[U] the true ratings."""
    scale: Scale
    """Scale of the data set's ratings."""
    user_ids: npt.NDArray[np.object_] | Sequence[str] | None = None
    """[U] user of each row. Needed to pair two results, and to resample users with several rows."""
    spread: FloatArray | None = None
    """[U] standard deviation of the sampled predictions in rating units, >= 0; NaN where a row has none."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of the result: `truncated` and `parsed` (shares of replies), `reply_length` (tokens),
    `seconds_per_user`."""

    def __post_init__(self) -> None:
        targets = np.asarray(self.targets, dtype=np.float64)
        if targets.ndim != 1 or len(targets) == 0:
            raise ShapeError(f"{self.name}: targets", targets.shape, "[U] with at least one row")
        predictions = np.asarray(self.predictions, dtype=np.float64)
        if predictions.shape != targets.shape:
            raise ShapeError(f"{self.name}: predictions", predictions.shape, f"[{len(targets)}], one per target")
        _refuse_off_scale(f"{self.name}: targets", targets, self.scale)
        parsed = ~np.isnan(predictions)
        _refuse_off_scale(f"{self.name}: predictions", np.where(parsed, predictions, self.scale.lowest), self.scale)
        object.__setattr__(self, "targets", targets)
        object.__setattr__(self, "predictions", predictions)
        if self.user_ids is not None:
            users = np.asarray(self.user_ids, dtype=object)
            if users.shape != targets.shape:
                raise ShapeError(f"{self.name}: user_ids", users.shape, f"[{len(targets)}], one per target")
            object.__setattr__(self, "user_ids", users)
        if self.spread is not None:
            object.__setattr__(self, "spread", _checked_spread(self.name, self.spread, len(targets)))

    def __len__(self) -> int:
        return len(self.targets)


def _refuse_off_scale(name: str, ratings: FloatArray, scale: Scale) -> None:
    outside = ~((ratings >= scale.lowest) & (ratings <= scale.highest))  # NaN too
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"{name}[{row}] = {ratings[row]}",
            f"is not on the scale {scale}",
            "clip predictions, or name the right scale",
        )


def _checked_spread(name: str, spread: FloatArray, rows: int) -> FloatArray:
    spread = np.asarray(spread, dtype=np.float64)
    if spread.shape != (rows,):
        raise ShapeError(f"{name}: spread", spread.shape, f"[{rows}], one per target")
    wrong = (spread < 0) | np.isinf(spread)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{name}: spread[{row}] = {spread[row]}", "is no standard deviation", "pass numbers from 0 on")
    return spread


def absolute_errors(result: RatingResult) -> FloatArray:
    """[U] |prediction - target| in rating units; the largest possible error of the row where nothing parsed."""
    missing = np.isnan(result.predictions)
    return np.where(missing, result.scale.worst_error(result.targets), np.abs(result.predictions - result.targets))


def squared_errors(result: RatingResult) -> FloatArray:
    """[U] squares of `absolute_errors`, in squared rating units."""
    return absolute_errors(result) ** 2


def mae(result: RatingResult) -> float:
    """Mean absolute error in rating units. Denominator: all U rows; a row that did not parse has its largest possible
    error."""
    return float(absolute_errors(result).mean())


def rmse(result: RatingResult) -> float:
    """Root mean squared error in rating units. Denominator: all U rows; a row that did not parse has its largest
    possible error."""
    return float(np.sqrt(squared_errors(result).mean()))


def parse_rate(result: RatingResult) -> float:
    """Share of rows with a predicted rating. Denominator: all U rows."""
    return float((~np.isnan(result.predictions)).mean())


def mae_interval(result: RatingResult, resamples: int = 2000, seed: int = 0) -> Interval:
    """MAE with its 95 % bootstrap interval, resampling users."""
    return bootstrap_interval(absolute_errors(result), result.user_ids, resamples=resamples, seed=seed)


def rmse_interval(result: RatingResult, resamples: int = 2000, seed: int = 0) -> Interval:
    """RMSE with its 95 % bootstrap interval, resampling users."""
    return bootstrap_root_interval(squared_errors(result), result.user_ids, resamples=resamples, seed=seed)


def rating_summary(result: RatingResult, resamples: int = 2000, seed: int = 0) -> dict[str, object]:
    """One row of `metrics.json`: name, mae, mae_ci, rmse, rmse_ci, parse_rate; an interval is `[lo, hi]`."""
    absolute, root = mae_interval(result, resamples, seed), rmse_interval(result, resamples, seed)
    return {
        "name": result.name,
        "mae": mae(result),
        "mae_ci": [absolute.lo, absolute.hi],
        "rmse": rmse(result),
        "rmse_ci": [root.lo, root.hi],
        "parse_rate": parse_rate(result),
    }


def mae_difference(
    result: RatingResult, baseline: RatingResult, resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """MAE of `result` minus that of `baseline` on the same rows: below 0 where `result` is better.

    Raises:
        DataError: the rows differ in users, order, targets or scale, or a result has no user ids.
    """
    _check_pair(result, baseline)
    return paired_interval(
        absolute_errors(result), absolute_errors(baseline), result.user_ids, resamples=resamples, seed=seed
    )


def rmse_difference(
    result: RatingResult, baseline: RatingResult, resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """RMSE of `result` minus that of `baseline` on the same rows: below 0 where `result` is better.

    Every resample takes both root means over the same users, then subtracts them.

    Raises:
        DataError: as in `mae_difference`.
    """
    _check_pair(result, baseline)
    return paired_root_interval(
        squared_errors(result), squared_errors(baseline), result.user_ids, resamples=resamples, seed=seed
    )


def _check_pair(result: RatingResult, baseline: RatingResult) -> None:
    where = f"{result.name} against {baseline.name}"
    if result.user_ids is None or baseline.user_ids is None:
        raise DataError(where, "a paired difference needs user_ids in both results", "keep user_ids with the ratings")
    if not np.array_equal(result.user_ids, baseline.user_ids):
        raise DataError(
            where,
            f"the users differ ({len(result)} and {len(baseline)} rows, or another order)",
            "evaluate both on the same test rows in the same order",
        )
    if not np.array_equal(result.targets, baseline.targets) or result.scale != baseline.scale:
        raise DataError(where, "the true ratings or their scales differ", "evaluate both on the same test rows")


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows of similar spread. A calibrated spread is close to the RMSE of its bin."""

    rows: int
    spread: float
    """Mean stated spread, rating units."""
    rmse: float
    """Root mean squared error of the rows, rating units."""
    inside: float
    """Share of the rows whose error is at most two spreads."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How the stated spread relates to the error of the prediction."""

    bins: tuple[CalibrationBin, ...]
    """From the smallest spread to the largest."""
    pearson: float | None
    """Correlation of spread and absolute error over the rows; None where either is constant."""
    spearman: float | None
    """Rank correlation of the same two."""
    inside: float
    """Share of all rows whose error is at most two spreads; 95 % for a calibrated normal error."""
    left_out: int
    """Number of rows without a prediction or without a spread; all other fields leave them out."""


def calibration(result: RatingResult, bins: int = BINS) -> Calibration:
    """Compare the stated spread with the error, in bins of equal count from small to large spread.

    Rows of equal spread stay in one bin, so ties (for example spread 0, where all k samples agree) can make fewer and
    uneven bins.

    Raises:
        DataError: the result states no spread, or no row has both a prediction and a spread.
    """
    if bins < 1:
        raise ConfigError("bins", bins, "must be at least 1", f"use {BINS}")
    known = np.zeros(len(result), dtype=bool)
    if result.spread is not None:
        known = ~np.isnan(result.predictions) & ~np.isnan(result.spread)
    if result.spread is None or not known.any():
        raise DataError(f"{result.name}: spread", "is not given for any row", "predict with two or more samples")
    spread, errors = result.spread[known], absolute_errors(result)[known]
    inside = errors <= SPREADS * spread
    _, value, counts = np.unique(spread, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2  # middle position of each distinct spread among the sorted rows
    bin_of = np.floor(middle / len(spread) * bins).astype(int)[value]
    return Calibration(
        bins=tuple(
            CalibrationBin(
                rows=int(rows.sum()),
                spread=float(spread[rows].mean()),
                rmse=float(np.sqrt((errors[rows] ** 2).mean())),
                inside=float(inside[rows].mean()),
            )
            for rows in (bin_of == number for number in np.unique(bin_of))
        ),
        pearson=_correlation(spread, errors),
        spearman=_correlation(_mean_ranks(spread), _mean_ranks(errors)),
        inside=float(inside.mean()),
        left_out=int((~known).sum()),
    )


def _mean_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1; equal values share the mean of their ranks."""
    _, value, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[value]


def _correlation(a: FloatArray, b: FloatArray) -> float | None:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
