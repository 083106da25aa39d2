"""Rating prediction: what is known of a user and of an item just before the user rates it.

Entry points: `rating_examples` for the rows of a split, `rating_context` for a prediction now, `rating_scale`, and
`training_ratings` for what baselines fit on.

Everything in an example is strictly older than its rating: an event of the same timestamp is left out, which for data
stamped by the day is the whole day. A user whose earlier events all share that time has an empty `user_history` and no
`user_mean`; an item without earlier ratings has an empty `item_history` and no `item_mean`. Item history and item mean
are those of other users. Data with the order only knows each user's earlier events but nothing across users, so the
item side is empty. Splits are those of the next item (`reckon.data.splits`); events without a rating are left out.

Knows nothing about prompts, tokens or models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reckon.data.dataset import Dataset
from reckon.data.examples import FloatArray, IntArray
from reckon.data.rating_log import RatingLog
from reckon.data.scale import Scale
from reckon.data.splits import Split
from reckon.errors import DataError

__all__ = [
    "Rated",
    "RatingExample",
    "RatingExamples",
    "Ratings",
    "Scale",
    "rating_context",
    "rating_examples",
    "rating_scale",
    "training_ratings",
]

DEFAULT_WINDOW = 10  # ratings; RecZero (arXiv 2510.23077) reads some ten of the user's and of the item's


@dataclass(frozen=True, slots=True)
class Rated:
    """One earlier rating with its review."""

    user_id: str
    item_index: int
    rating: float
    time: int | None
    """Seconds since 1970 (UTC); None where the data set knows only the order."""
    summary: str = ""
    """The review's headline; empty where there is none."""
    text: str = ""
    """The review's body; empty where there is none."""


@dataclass(frozen=True, slots=True)
class RatingExample:
    """A user, an item, what was known of both, and the rating that the user really gave."""

    user_id: str
    item_index: int
    user_history: tuple[Rated, ...]
    """The user's ratings, oldest first, the latest `window`, all strictly older than the target."""
    item_history: tuple[Rated, ...]
    """Other users' ratings of the item, oldest first, the latest `item_window`, all strictly older than the target."""
    user_mean: float | None
    """Mean of all the user's earlier ratings, not only those of the window; None without any."""
    item_mean: float | None
    """Mean of all earlier ratings of the item by others; None without any."""
    rating: float
    """The target. NaN in the context of a live prediction."""
    time: int | None


@dataclass(frozen=True, slots=True)
class RatingExamples:
    """R rows of (user, item, rating). Histories are runs of the rating log and become objects one row at a time."""

    dataset: Dataset
    user_index: IntArray  # [R] row of `dataset.user_ids`, -1 for a user that is not in the data
    item_indices: IntArray  # [R]
    ratings: FloatArray  # [R] targets
    times: IntArray | None  # [R] seconds since 1970
    user_means: FloatArray  # [R] NaN where the user has no earlier rating
    item_means: FloatArray  # [R] NaN where the item has no earlier rating by others
    window: int
    item_window: int
    skipped: int
    """Events of the split that are no targets, because they have no rating."""
    visible_of_user: IntArray  # [R, 2]
    """Start and end of the user's older ratings in `rating_log.by_user.order`, whatever the window."""
    visible_of_item: IntArray  # [R, 3]
    """Start and end of the item's older ratings in `rating_log.by_item.order`, and how many of them are the user's."""

    def __len__(self) -> int:
        return len(self.ratings)

    def __iter__(self) -> Iterator[RatingExample]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> RatingExample:
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        log, user = self.dataset.rating_log, int(self.user_index[row])
        start, end = self.visible_of_user[row]
        of_user = log.by_user.order[max(start, end - self.window) : end]
        start, end, own = self.visible_of_item[row]
        of_item = log.by_item.order[max(start, end - self.item_window - own) : end]
        of_item = of_item[log.user_index[of_item] != user]
        of_item = of_item[max(0, len(of_item) - self.item_window) :]
        return RatingExample(
            user_id="" if user < 0 else str(self.dataset.user_ids[user]),
            item_index=int(self.item_indices[row]),
            user_history=_rated(self.dataset, of_user),
            item_history=_rated(self.dataset, of_item),
            user_mean=_number(self.user_means[row]),
            item_mean=_number(self.item_means[row]),
            rating=float(self.ratings[row]),
            time=None if self.times is None else int(self.times[row]),
        )

    @property
    def user_ids(self) -> npt.NDArray[np.object_]:
        """[R] the data set's strings."""
        return self.dataset.user_ids[self.user_index]

    def subset(self, rows: IntArray | list[int]) -> "RatingExamples":
        """The given rows, in the given order; the data set is shared, not copied."""
        rows = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            user_index=self.user_index[rows],
            item_indices=self.item_indices[rows],
            ratings=self.ratings[rows],
            times=None if self.times is None else self.times[rows],
            user_means=self.user_means[rows],
            item_means=self.item_means[rows],
            visible_of_user=self.visible_of_user[rows],
            visible_of_item=self.visible_of_item[rows],
        )

    def sample(self, size: int, seed: int) -> "RatingExamples":
        """At most `size` rows drawn without replacement under `seed`, kept in their order."""
        if size >= len(self):
            return self
        rows = np.random.default_rng(seed).choice(len(self), size=size, replace=False)
        return self.subset(np.sort(rows))


class Ratings(NamedTuple):
    """Ratings as E parallel arrays, each user's in order."""

    user_index: IntArray  # [E] row of `dataset.user_ids`
    item_index: IntArray  # [E]
    rating: FloatArray  # [E]
    time: IntArray | None  # [E] seconds since 1970


def rating_examples(
    dataset: Dataset, split: Split, window: int = DEFAULT_WINDOW, item_window: int = DEFAULT_WINDOW
) -> RatingExamples:
    """The rows of one split.

    Args:
        split: `train`, `valid` or `test`.
        window: ratings of the user that an example shows at most.
        item_window: ratings of the item that an example shows at most.

    Raises:
        DataError: the data set has no ratings, or the split is one of given rows, which have none.
    """
    log = dataset.rating_log
    if dataset.rows is not None and split != "train":
        raise DataError(str(dataset.path), f"its given {split} rows have no ratings", "use data that is not `given`")
    events = dataset.split_events(split)  # places in the event log
    place = np.searchsorted(log.event, events)  # [events] number in the rating log
    rated = log.event[np.minimum(place, len(log) - 1)] == events
    targets = place[rated]  # [R]
    if not len(targets):
        raise DataError(str(dataset.path), f"no {split} event has a rating", "use data with more ratings")
    return _examples(
        dataset,
        log.user_index[targets],
        log.item_index[targets],
        log.moment[targets],
        ratings=log.rating[targets],
        times=None if log.time is None else log.time[targets],
        window=window,
        item_window=item_window,
        skipped=len(events) - len(targets),
    )


def rating_context(
    dataset: Dataset,
    user: str | Sequence[Rated],
    item_index: int,
    *,
    time: int | None = None,
    window: int = DEFAULT_WINDOW,
    item_window: int = DEFAULT_WINDOW,
) -> RatingExample:
    """What is known for predicting a rating that has not been given; its `rating` is NaN.

    Args:
        user: an id of the data set, or the ratings of somebody else, oldest first.
        item_index: row of the catalog.
        time: seconds since 1970 of the prediction: only what is strictly older is seen. None: all there is.

    Raises:
        DataError: the data set has no ratings, or no such user.
    """
    row = dataset.find_user(user) if isinstance(user, str) else -1
    example = _examples(
        dataset,
        np.array([row]),
        np.array([item_index]),
        np.array([dataset.rating_log.moment_of(time)]),
        ratings=np.array([np.nan]),
        times=None if time is None else np.array([time]),
        window=window,
        item_window=item_window,
    )[0]
    if isinstance(user, str):
        return example
    history = tuple(user)
    mean = float(np.mean([rated.rating for rated in history])) if history else None
    return replace(example, user_history=history[max(0, len(history) - window) :], user_mean=mean)


def rating_scale(dataset: Dataset) -> Scale:
    """The scale recorded when the data was prepared, else `Scale.of_ratings` of all its ratings.

    Raises:
        DataError: the data set has no ratings.
    """
    record = dataset.info.get("rating_scale")
    return Scale.of_ratings(dataset.rating_log.rating) if record is None else Scale.of_record(record)


def training_ratings(dataset: Dataset) -> Ratings:
    """Every rating of a training event, users' first events included: what baselines may fit on.

    Raises:
        DataError: the data set has no ratings.
    """
    log = dataset.rating_log
    kept = dataset.is_training_event[log.event]
    return Ratings(
        log.user_index[kept], log.item_index[kept], log.rating[kept], None if log.time is None else log.time[kept]
    )


def _examples(
    dataset: Dataset,
    user_index: IntArray,
    item_index: IntArray,
    moment: IntArray,
    *,
    ratings: FloatArray,
    times: IntArray | None,
    window: int,
    item_window: int,
    skipped: int = 0,
) -> RatingExamples:
    for name, value in (("window", window), ("item_window", item_window)):
        if value < 0:
            raise DataError(f"{name} {value}", "is negative", "give 0 or more ratings")
    log: RatingLog = dataset.rating_log
    of_user, of_item = log.by_user.older(user_index, moment), log.by_item.older(item_index, moment)
    own = log.own(user_index, item_index, moment)
    item_total, item_count = of_item.total - own.total, of_item.count - own.count
    start, end = of_item.start, of_item.end
    if log.time is None:  # nothing is known to be older across users
        item_count, end = np.zeros_like(item_count), start
    return RatingExamples(
        dataset=dataset,
        user_index=user_index,
        item_indices=item_index,
        ratings=ratings,
        times=times,
        user_means=_mean(of_user.total, of_user.count),
        item_means=_mean(item_total, item_count),
        window=window,
        item_window=item_window,
        skipped=skipped,
        visible_of_user=np.stack([of_user.start, of_user.end], axis=1),
        visible_of_item=np.stack([start, end, own.count], axis=1),
    )


def _mean(total: FloatArray, count: IntArray) -> FloatArray:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _rated(dataset: Dataset, places: IntArray) -> tuple[Rated, ...]:
    """Events of the rating log as objects."""
    log = dataset.rating_log
    summaries, texts = dataset.texts("summary"), dataset.texts("review")
    return tuple(
        Rated(
            user_id=str(dataset.user_ids[log.user_index[place]]),
            item_index=int(log.item_index[place]),
            rating=float(log.rating[place]),
            time=None if log.time is None else int(log.time[place]),
            summary="" if summaries is None else summaries[log.event[place]].as_py() or "",
            text="" if texts is None else texts[log.event[place]].as_py() or "",
        )
        for place in places
    )
