"""Bootstrap intervals of a mean, by resampling users.

Entry points: `bootstrap_interval` for one mean, `paired_interval` for the difference of two on the same rows,
`bootstrap_root_interval` and `paired_root_interval` for root means. Works on one number per row; knows nothing of
ranks or ratings.

Users are resampled, not rows: the rows of one user resemble each other, and treating them as independent makes the
interval too narrow.

A resampled mean depends only on how often each distinct pair (sum, rows) of a user is drawn. Hit@K has two distinct
values and NDCG@K at most K + 1, so one multinomial draw over the distinct pairs replaces U draws of users. The result
has exactly the same distribution, and 2,000 resamples of 10,000 users take milliseconds. Errors of ratings can have as
many distinct pairs as users. Above MOST_PAIRS each user is drawn a Poisson(1) number of times instead (Chamandy et al.
2012, "Estimating uncertainty for massive data streams"): the number of users per resample then varies by about its
square root, which hardly changes a mean, and a user costs one table look-up in place of one binomial draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, factorial

import numpy as np
import numpy.typing as npt

from reckon.errors import ConfigError, DataError, ShapeError

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
Users = npt.NDArray[np.object_] | Sequence[str]
BLOCK_CELLS = 2_000_000  # counts held at once: 16 MB
MOST_PAIRS = 10_000  # distinct pairs up to which a resample is one multinomial draw
TIMES = 1 << 16  # entries of the table that turns 16 random bits into a Poisson number
DECIMALS = 12  # sums that differ only by rounding are one distinct value


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its percentile interval."""

    mean: float
    lo: float
    hi: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Mean difference on the same rows, its percentile interval and the bootstrap's two-sided p-value."""

    difference: float
    lo: float
    hi: float
    p_value: float
    """Twice the share of resamples whose difference has the opposite sign; at least 2 / (resamples + 1)."""


def bootstrap_interval(
    values: FloatArray, users: Users | None = None, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of the mean over rows.

    Args:
        values: [U] one number per row, finite.
        users: [U] user of each row; None: every row has its own user.
        confidence: in (0, 1).
        resamples: bootstrap samples, at least 100.
        seed: of the resamples; the same values and seed give the same interval.

    Raises:
        ShapeError, DataError, ConfigError: no rows, a value that is not finite, a setting out of range.
    """
    values = _checked(values)
    means = _resampled_means(values, users, resamples, seed)
    lo, hi = _percentiles(means, confidence)
    return Interval(float(values.mean()), lo, hi)


def bootstrap_root_interval(
    values: FloatArray, users: Users | None = None, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of the root of the mean over rows, as of squared errors.

    The square root is monotonic, so each percentile of the roots is the root of that percentile of the means.

    Args:
        values: [U] one number per row, >= 0.
        users, confidence, resamples, seed: as in `bootstrap_interval`.
    """
    mean = bootstrap_interval(values, users, confidence=confidence, resamples=resamples, seed=seed)
    return Interval(float(np.sqrt(mean.mean)), float(np.sqrt(mean.lo)), float(np.sqrt(mean.hi)))


def paired_interval(
    values: FloatArray,
    baseline: FloatArray,
    users: Users | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Percentile interval of mean(values - baseline); row i of both has the same user and target.

    Args:
        values, baseline: [U] one number per row of each method.
        users, confidence, resamples, seed: as in `bootstrap_interval`.
    """
    values, baseline = _checked_pair(values, baseline)
    differences = values - baseline
    means = _resampled_means(differences, users, resamples, seed)
    return _paired(float(differences.mean()), means, confidence)


def paired_root_interval(
    values: FloatArray,
    baseline: FloatArray,
    users: Users | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """Percentile interval of sqrt(mean(values)) - sqrt(mean(baseline)): the difference of two RMSEs.

    Every resample takes both means over the same users, then subtracts their roots.

    Args:
        values, baseline: [U] one squared error per row of each method, >= 0.
        users, confidence, resamples, seed: as in `bootstrap_interval`.
    """
    values, baseline = _checked_pair(values, baseline)
    both = np.stack([values, baseline], axis=1)  # [U, 2]
    if both.min() < 0:
        row = int(both.min(axis=1).argmin())
        raise DataError(
            f"values[{row}]", f"is {both[row].min()}, and a negative number is no squared error", "pass squared errors"
        )
    roots = np.sqrt(_resampled_means(both, users, resamples, seed))  # [resamples, 2]
    difference = float(np.sqrt(values.mean()) - np.sqrt(baseline.mean()))
    return _paired(difference, roots[:, 0] - roots[:, 1], confidence)


def _checked_pair(values: FloatArray, baseline: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, baseline = _checked(values), _checked(baseline)
    if values.shape != baseline.shape:
        raise ShapeError("baseline", baseline.shape, f"{list(values.shape)}, the same rows as values")
    return values, baseline


def _paired(difference: float, resampled: FloatArray, confidence: float) -> PairedDifference:
    lo, hi = _percentiles(resampled, confidence)
    # One is added to both counts, so that the p-value is never zero.
    not_above, not_below = ((resampled <= 0).sum() + 1, (resampled >= 0).sum() + 1)
    p_value = min(1.0, 2 * float(min(not_above, not_below)) / (len(resampled) + 1))
    return PairedDifference(difference, lo, hi, p_value)


def _checked(values: FloatArray) -> FloatArray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise ShapeError("values", values.shape, "[U] with at least one row")
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values)).argmax())
        raise DataError(f"values[{row}]", f"is {values[row]}, and must be finite", "pass finite numbers")
    return values


def _percentiles(means: FloatArray, confidence: float) -> tuple[float, float]:
    if not 0 < confidence < 1:
        raise ConfigError("confidence", confidence, "must lie between 0 and 1", "use 0.95")
    lo, hi = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(lo), float(hi)


def _resampled_means(values: FloatArray, users: Users | None, resamples: int, seed: int) -> FloatArray:
    """Means over the rows of users drawn with replacement, one mean per resample: [resamples].

    Values [U, C] give [resamples, C], the means of C columns under the same draws.
    """
    if resamples < 100:
        raise ConfigError("resamples", resamples, "too few for a 95 % interval", "use 100 or more (default 2000)")
    columns = values[:, None] if values.ndim == 1 else values
    sums, rows = per_user(columns, users)
    kinds, counts = np.unique(np.column_stack([sums, rows]), axis=0, return_counts=True)  # [D, C + 1], [D]
    rng = np.random.default_rng(seed)
    resampled = _multinomial_totals if len(kinds) <= MOST_PAIRS else _poisson_totals
    totals = resampled(kinds, counts, resamples, rng)  # [resamples, C + 1] sums of values, number of rows
    return (totals[:, :-1] / totals[:, -1:]).reshape(-1, *values.shape[1:])


def _multinomial_totals(kinds: FloatArray, counts: IntArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Column sums of U drawn users, one row per resample, from D distinct pairs [D, C + 1] and their counts [D]."""
    users, block = counts.sum(), max(1, BLOCK_CELLS // len(kinds))
    totals = []
    for start in range(0, resamples, block):
        drawn = rng.multinomial(users, counts / users, size=min(block, resamples - start))  # [size, D]
        totals.append(drawn @ kinds)
    return np.concatenate(totals)


def _poisson_totals(kinds: FloatArray, counts: IntArray, resamples: int, rng: np.random.Generator) -> FloatArray:
    """As `_multinomial_totals`, with an independent Poisson(1) number of draws of each user."""
    units = np.repeat(kinds, counts, axis=0)  # [U, C + 1]
    chances = np.cumsum([exp(-1) / factorial(times) for times in range(10)])
    times = np.searchsorted(np.round(chances * TIMES), np.arange(TIMES), side="right").astype(np.int8)
    totals = np.empty((resamples, units.shape[1]))
    for row in range(resamples):
        bits = np.frombuffer(rng.bytes(2 * len(units)), dtype="<u2")
        totals[row] = times.take(bits).astype(np.float64) @ units
    return totals


def per_user(values: FloatArray, users: Users | None) -> tuple[FloatArray, FloatArray]:
    """Sum of each column of values [U, C] over each user's rows, and the number of those rows; `users` None: every row
    has its own user."""
    if users is None:
        return values, np.ones(len(values))
    users = np.asarray(users, dtype=object)
    if users.shape != values.shape[:1]:
        raise ShapeError("users", users.shape, f"[{len(values)}], one per row")
    _, user_index = np.unique(users.astype(str), return_inverse=True)
    rows = np.bincount(user_index).astype(np.float64)
    sums = [np.bincount(user_index, weights=column) for column in values.T]
    return np.round(np.stack(sums, axis=1), DECIMALS), rows
