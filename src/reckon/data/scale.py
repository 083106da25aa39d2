"""The scale of a data set's ratings: its ends, and the step between values where there is one.

Entry points: `Scale`, and `Scale.of_ratings` for data that names no scale. Knows nothing of files or models.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reckon.errors import ConfigError, DataError

DECIMALS = 4  # of a rating: float32 on disk holds no more of 99.9
STEP_TOLERANCE = 1e-4  # of a step
CONVENTIONAL: tuple[tuple[float, float, float], ...] = (
    (1, 5, 1),
    (0, 1, 1),
    (0, 5, 1),
    (1, 5, 0.5),
    (0.5, 5, 0.5),
    (1, 10, 1),
    (0, 10, 1),
    (0, 5, 0.5),
    (0, 10, 0.5),
    (0, 100, 1),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """The values that a rating may take."""

    lowest: float
    highest: float
    """Above `lowest`."""
    step: float | None = None
    """Distance between two values, both ends included; None: any value in between."""

    def __post_init__(self) -> None:
        if not -np.inf < self.lowest < self.highest < np.inf:
            raise ConfigError("rating scale", str(self), "needs a lowest below its highest", "write it as 1:5")
        if self.step is not None and not (self.step > 0 and _whole(self.range / self.step)):
            raise ConfigError("rating scale", str(self), "does not reach its highest in steps", "write it as 1:5:0.5")

    def __str__(self) -> str:
        ends = f"{self.lowest:g} to {self.highest:g}"
        return ends if self.step in (None, 1) else f"{ends} by {self.step:g}"

    @classmethod
    def parse(cls, text: str) -> "Scale":
        """The scale written as LOW:HIGH or LOW:HIGH:STEP; ConfigError if it is not."""
        try:
            numbers = [float(part) for part in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (2, 3):
            raise ConfigError("--scale", text, "is not LOW:HIGH or LOW:HIGH:STEP", "write it as 1:5 or 0.5:5:0.5")
        return cls(*numbers)

    @classmethod
    def of_ratings(cls, ratings: Any) -> "Scale":
        """The first scale of CONVENTIONAL that holds every value, else lowest to highest value without a step.

        Args:
            ratings: numbers in any order; NaN counts as missing.

        Raises:
            DataError: there are no ratings, or one single value that no conventional scale holds.
        """
        values = np.unique(np.asarray(ratings, dtype=np.float64).round(DECIMALS))
        values = values[~np.isnan(values)]
        if not len(values):
            raise DataError("ratings", "there are none, so there is no scale", "use data with ratings")
        lowest, highest = float(values[0]), float(values[-1])
        for low, high, step in CONVENTIONAL:
            if low <= lowest and highest <= high and _whole((values - low) / step):
                return cls(low, high, step)
        if lowest == highest:
            raise DataError("ratings", f"all are {lowest:g}, which tells no scale", "give the scale, or leave them out")
        return cls(lowest, highest)

    def doubts(self, ratings: Any) -> list[str]:
        """Why a scale told from these ratings may be wrong: an end of it that never occurs, a sentence; or nothing."""
        values = np.asarray(ratings, dtype=np.float64).round(DECIMALS)
        lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
        unseen = [f"{end:g}" for end, seen in ((self.lowest, lowest), (self.highest, highest)) if end != seen]
        if not unseen:
            return []
        return [
            f"the rating scale {self} is a guess from ratings of {lowest:g} to {highest:g}: {' and '.join(unseen)} "
            "never occurs; pass --scale LOW:HIGH:STEP to `table` if it is another"
        ]

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> "Scale":
        """The scale of an entry of `dataset.json`."""
        return cls(record["lowest"], record["highest"], record["step"])

    @property
    def record(self) -> dict[str, float | None]:
        """The scale as JSON."""
        return {"lowest": self.lowest, "highest": self.highest, "step": self.step}

    @property
    def range(self) -> float:
        """Distance between the ends, in rating units."""
        return self.highest - self.lowest

    @property
    def half_range(self) -> float:
        """Half the distance between the ends: 2 on a scale from 1 to 5."""
        return self.range / 2

    def contains(self, rating: float) -> bool:
        """Whether a rating lies between the ends, on a step or not; False for NaN."""
        return bool(self.lowest <= rating <= self.highest)

    def clip(self, rating: Any) -> Any:
        """A rating, or an array of them, moved to the nearest end if it lies outside."""
        clipped = np.clip(rating, self.lowest, self.highest)
        return clipped if np.ndim(rating) else float(clipped)

    def nearest(self, rating: float) -> float:
        """The value of the scale nearest to a rating, the higher one of two; without a step, the clipped rating."""
        if self.step is None:
            return float(self.clip(rating))
        steps = np.floor((self.clip(rating) - self.lowest) / self.step + 0.5)
        return float(self.lowest + steps * self.step)

    def values(self) -> tuple[float, ...]:
        """Every value from lowest to highest; the two ends if there is no step."""
        if self.step is None:
            return (float(self.lowest), float(self.highest))
        return tuple(float(self.lowest + n * self.step) for n in range(round(self.range / self.step) + 1))

    def worst_error(self, rating: Any) -> Any:
        """The largest error a prediction on the scale can make, for a rating or an array of them."""
        return np.maximum(np.asarray(rating) - self.lowest, self.highest - np.asarray(rating))


def _whole(steps: Any) -> bool:
    return bool(np.all(np.abs(steps - np.round(steps)) < STEP_TOLERANCE))
