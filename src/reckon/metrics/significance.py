"""Statistics of many comparisons: Holm's correction, the detectable difference, the spread over seeds.

Entry points: `holm` for p-values, `minimum_detectable_difference` for one comparison, `spread` over seeds,
`enough_resamples` for the bootstrap that feeds them.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics.bootstrap import Users, per_user

FloatArray = npt.NDArray[np.floating]
LEVEL, POWER = 0.05, 0.8
LEAST_RESAMPLES = 2000


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values after Holm's correction, in the given order: the chance of any false rejection stays below alpha.

    The i-th smallest of m becomes max over j <= i of (m - j + 1) p_(j), at most 1.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).

    Raises:
        DataError: a p-value outside 0..1 (NaN included).
    """
    values = np.asarray(p_values, dtype=np.float64)
    if len(values) and not ((values >= 0) & (values <= 1)).all():
        raise DataError("p_values", f"are not all in 0..1 ({values.tolist()})", "pass p-values")
    order = np.argsort(values, kind="stable")
    stepped = values[order] * (len(values) - np.arange(len(values)))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(stepped)) if len(values) else stepped
    return [float(value) for value in corrected]


def enough_resamples(comparisons: int) -> int:
    """Number B of bootstrap samples for which the smallest possible p-value, 2 / (B + 1), can survive Holm's
    correction.

    Four times the least such number, and at least 2,000.
    """
    return max(LEAST_RESAMPLES, int(4 * 2 * comparisons / LEVEL))


def minimum_detectable_difference(
    differences: FloatArray, users: Users | None = None, *, level: float = LEVEL, power: float = POWER
) -> float:
    """Smallest true difference that a paired test of this size finds with the given power.

    (z_{1 - level/2} + z_{power}) * SE, SE being the standard error of the mean difference over users: with U users of
    one row each it is sd / sqrt(U); users with several rows enter as clusters.

    Source: the normal sample-size formula (Cohen 1988, chapter 2), solved for the difference.

    Args:
        differences: [U] one paired difference per row.
        users: [U] user of each row; None: every row has its own user.
        level: of the two-sided test, in (0, 1).
        power: in (0, 1).

    Raises:
        ShapeError: fewer than two users. ConfigError: level or power outside (0, 1).
    """
    from scipy.stats import norm

    for name, value in (("level", level), ("power", power)):
        if not 0 < value < 1:
            raise ConfigError(name, value, "must lie between 0 and 1", "use 0.05 and 0.8")
    values = np.asarray(differences, dtype=np.float64)
    sums, rows = per_user(values[:, None], users)
    if len(sums) < 2:
        raise ShapeError("differences", values.shape, "rows of at least two users")
    residual = sums[:, 0] - rows * values.mean()
    error = sqrt(len(sums) / (len(sums) - 1) * float((residual**2).sum())) / len(values)
    return float(norm.ppf(1 - level / 2) + norm.ppf(power)) * error


def spread(values: Sequence[float]) -> float:
    """Sample standard deviation (n - 1) over seeds; 0 for a single value."""
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1)) if len(values) > 1 else 0.0
