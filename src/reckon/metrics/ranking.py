"""Ranks of the targets, and the metrics of ranks: Hit, NDCG, MRR and coverage.

Entry points: `ranks_from_scores` computes ranks, `RankingResult` holds them, `rank_values` turns ranks into metric
values, `summary` gives all metrics with intervals, `paired_difference` compares two results on the same rows.

U is the number of test rows: one (user, target) each. Where a user has several rows, every mean is over rows and
the intervals resample users with all their rows (`reckon.metrics.bootstrap`).

Rules, the same for every metric:
- Ranks start at 1 and count only the allowed items. The target is placed BEHIND every item of the same score, so a
  model that gives all items one score has no hits.
- An excluded target has rank `catalog_size + 1`: a miss. A miss counts 0 in every metric and stays in the denominator.
- NaN scores are an error, never a rank.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics.bootstrap import Interval, PairedDifference, bootstrap_interval, paired_interval

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]
CUTOFFS = (5, 10, 20)
NO_ITEM = -1  # padding of `recommended` where a row has fewer than K items


@dataclass(frozen=True, eq=False, slots=True)
class RankingResult:
    """Ranks of one recommender over U test rows."""

    name: str
    """Name in tables and charts, such as `popularity`, `no-reasoning`, `r2ec`."""
    ranks: IntArray
    """[U] 1-based rank of the target among the allowed items; `catalog_size + 1` is a miss."""
    catalog_size: int
    """I, the number of items in the catalog; the denominator of coverage."""
    recommended: IntArray | None = None
    """[U, K] item indices, best first, -1 where a row has fewer; None: no lists were kept, and coverage is not
    computed."""
    user_ids: npt.NDArray[np.object_] | Sequence[str] | None = None
    """[U] user of each row. Needed to pair two results, and to resample users with several rows."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of the result: `truncated` and `parsed` (shares of replies), `reply_length` (tokens),
    `seconds_per_user`."""

    def __post_init__(self) -> None:
        ranks = np.asarray(self.ranks)
        if ranks.ndim != 1 or len(ranks) == 0:
            raise ShapeError(f"{self.name}: ranks", ranks.shape, "[U] with at least one row")
        if not np.issubdtype(ranks.dtype, np.integer):
            raise DataError(f"{self.name}: ranks", f"are {ranks.dtype}, not integers", "pass ranks, not scores")
        outside = (ranks < 1) | (ranks > self.catalog_size + 1)
        if outside.any():
            row = int(outside.argmax())
            raise DataError(
                f"{self.name}: ranks[{row}] = {ranks[row]}",
                f"lies outside 1..{self.catalog_size + 1} (catalog size + 1 is a miss)",
                "ranks start at 1 and count items of this catalog only",
            )
        object.__setattr__(self, "ranks", ranks.astype(np.int64, copy=False))
        if self.user_ids is not None:
            users = np.asarray(self.user_ids, dtype=object)
            if users.shape != ranks.shape:
                raise ShapeError(f"{self.name}: user_ids", users.shape, f"[{len(ranks)}], one per rank")
            object.__setattr__(self, "user_ids", users)
        if self.recommended is not None:
            object.__setattr__(self, "recommended", _checked_items(self.name, self.recommended, self))

    def __len__(self) -> int:
        return len(self.ranks)


def _checked_items(name: str, recommended: IntArray, result: RankingResult) -> IntArray:
    items = np.asarray(recommended)
    if items.ndim != 2 or len(items) != len(result.ranks):
        raise ShapeError(f"{name}: recommended", items.shape, f"[{len(result.ranks)}, K], one row per rank")
    if items.size and (items.min() < NO_ITEM or items.max() >= result.catalog_size):
        raise DataError(
            f"{name}: recommended",
            f"has an item index outside 0..{result.catalog_size - 1}",
            "recommend items of this catalog, -1 where a row has fewer",
        )
    return items


def ranks_from_scores(
    scores: FloatArray,
    targets: IntArray,
    exclude: npt.NDArray[np.bool_] | None = None,
    masked_target: Literal["error", "miss"] = "error",
) -> IntArray:
    """Rank of each row's target among the items that the row allows.

    Args:
        scores: [U, I] higher is better; infinities are allowed, NaN is not. Pass blocks of rows to bound the memory.
        targets: [U] item indices.
        exclude: [U, I] True where an item may not be recommended (the history, when repeats are not allowed).
        masked_target: an excluded target raises (`error`) or counts as a miss (`miss`).

    Returns:
        [U] int64: the number of allowed items whose score is at least the target's, the target included; I + 1 for a
        miss.

    Raises:
        ShapeError: the shapes do not belong together.
        DataError: a NaN score, a target outside the catalog, or an excluded target under `error`.
    """
    scores, targets = np.asarray(scores), np.asarray(targets)
    if scores.ndim != 2:
        raise ShapeError("scores", scores.shape, "[U, I]")
    users, catalog_size = scores.shape
    if targets.shape != (users,):
        raise ShapeError("targets", targets.shape, f"[{users}], one per row of scores")
    if exclude is not None and exclude.shape != scores.shape:
        raise ShapeError("exclude", exclude.shape, f"{list(scores.shape)}, as scores")
    _refuse_nan(scores)
    if users and (targets.min() < 0 or targets.max() >= catalog_size):
        raise DataError("targets", f"has an item index outside 0..{catalog_size - 1}", "score the whole catalog")
    rows = np.arange(users)
    ahead = scores >= scores[rows, targets][:, None]  # [U, I] True at the target, too
    if exclude is None:
        return ahead.sum(axis=1, dtype=np.int64)
    missed = exclude[rows, targets]  # [U]
    if masked_target == "error" and missed.any():
        row = int(missed.argmax())
        raise DataError(
            f"row {row}",
            f"excludes its own target (item index {targets[row]}), so the target has no rank",
            "do not exclude it, or pass masked_target='miss' to count it as a miss",
        )
    ranks = (ahead & ~exclude).sum(axis=1, dtype=np.int64)
    return np.where(missed, catalog_size + 1, ranks)


def _refuse_nan(scores: FloatArray) -> None:
    if np.isnan(scores).any():
        row, item = np.argwhere(np.isnan(scores))[0]
        raise DataError(
            f"scores[{row}, {item}]",
            "is NaN: a model that diverged has no ranking",
            "look at the loss and the item table of this checkpoint",
        )


def metric_values(result: RankingResult, metric: str) -> FloatArray:
    """Metric value of each row: [U] in 0..1. Their mean is the metric; their resampled means give its interval."""
    return rank_values(result.ranks, metric, result.catalog_size)


def rank_values(ranks: npt.ArrayLike, metric: str, catalog_size: int) -> FloatArray:
    """Metric value of each rank: [U] in 0..1. NDCG and Hit of ranks are computed here and nowhere else.

    Args:
        ranks: [U] from 1. A rank beyond `catalog_size` is a miss and counts 0 for every K: in a catalog of 8 items a
            miss has rank 9, which is not a hit@10.
        metric: `hit@K`, `recall@K`, `ndcg@K` or `mrr`.
        catalog_size: I, the number of items ranked.

    Raises:
        ConfigError: the metric is unknown or K < 1.
    """
    name, _, cutoff = metric.partition("@")
    if (
        name not in ("hit", "recall", "ndcg", "mrr")
        or (name == "mrr") != (cutoff == "")
        or (cutoff and not cutoff.isdigit())
    ):
        raise ConfigError("metric", metric, "is not a metric of ranks", "use hit@K, recall@K, ndcg@K or mrr")
    if cutoff and int(cutoff) < 1:
        raise ConfigError("metric", metric, "K must be at least 1", "use for example hit@10")
    # A miss has rank I + 1, which would be a hit for every K above I.
    last = min(int(cutoff), catalog_size) if cutoff else catalog_size
    places = np.asarray(ranks, dtype=np.float64)
    inside = places <= last
    if name in ("hit", "recall"):
        return inside.astype(np.float64)
    return np.where(inside, 1 / np.log2(1 + places) if name == "ndcg" else 1 / places, 0.0)


def hit_at(result: RankingResult, k: int) -> float:
    """Hit@K: share of rows whose target is in the top K. Denominator: all U rows, misses included."""
    return float(metric_values(result, f"hit@{k}").mean())


def recall_at(result: RankingResult, k: int) -> float:
    """Recall@K: mean over rows of the share of a row's relevant items in the top K. Denominator: all U rows.

    A row has one relevant item, its target, so Recall@K equals Hit@K. Papers use both names.
    """
    return float(metric_values(result, f"recall@{k}").mean())


def ndcg_at(result: RankingResult, k: int) -> float:
    """NDCG@K with one target: mean of 1/log2(1 + rank), 0 beyond K. Denominator: all U rows, misses included.

    The ideal list has the target first, with DCG 1/log2(2) = 1, so no normalisation is needed and NDCG@K <= Hit@K.
    """
    return float(metric_values(result, f"ndcg@{k}").mean())


def mrr(result: RankingResult) -> float:
    """Mean reciprocal rank over the whole catalog, without cut-off. Denominator: all U rows; a miss counts 0."""
    return float(metric_values(result, "mrr").mean())


def coverage(result: RankingResult, k: int) -> float:
    """Share of the items that are in the top K of at least one row. Denominator: all `catalog_size` items.

    Raises:
        ShapeError: the result kept fewer than K items per row (or none).
    """
    if result.recommended is None:
        raise ShapeError(f"{result.name}: recommended", (), f"[U, {k}] to compute coverage@{k}")
    if result.recommended.shape[1] < min(k, result.catalog_size):
        raise ShapeError(f"{result.name}: recommended", result.recommended.shape, f"[U, {k}] to compute coverage@{k}")
    shown = np.zeros(result.catalog_size + 1, dtype=bool)  # NO_ITEM = -1 indexes the last place, which is not counted
    for place in result.recommended[:, :k].T:
        shown[place] = True
    return float(shown[:-1].sum() / result.catalog_size)


def metric_interval(result: RankingResult, metric: str, resamples: int = 2000, seed: int = 0) -> Interval:
    """95 % bootstrap interval of `hit@K`, `ndcg@K` or `mrr`, resampling users."""
    return bootstrap_interval(metric_values(result, metric), result.user_ids, resamples=resamples, seed=seed)


def summary(
    result: RankingResult, cutoffs: Sequence[int] = CUTOFFS, resamples: int = 2000, seed: int = 0
) -> dict[str, object]:
    """One row of `metrics.json`.

    Returns:
        `name`; `hit@K`, `hit@K_ci`, `ndcg@K`, `ndcg@K_ci` for each K, an interval being `[lo, hi]`; `mrr`;
        `coverage@K` for the largest K, None where the result kept no lists; and the result's rates.
    """
    row: dict[str, object] = {"name": result.name}
    for k in cutoffs:
        for metric in (f"hit@{k}", f"ndcg@{k}"):
            interval = metric_interval(result, metric, resamples, seed)
            row[metric] = float(metric_values(result, metric).mean())
            row[f"{metric}_ci"] = [interval.lo, interval.hi]
    row["mrr"] = mrr(result)
    widest = max(cutoffs)
    row[f"coverage@{widest}"] = None if result.recommended is None else coverage(result, widest)
    return row | dict(result.rates)


def paired_difference(
    result: RankingResult, baseline: RankingResult, metric: str, resamples: int = 2000, seed: int = 0
) -> PairedDifference:
    """`metric` of `result` minus that of `baseline`, with an interval over users; both must hold the same rows.

    Raises:
        DataError: the rows differ in users or order, the catalogs differ in size, or a result has no user ids.
    """
    where = f"{result.name} against {baseline.name}"
    if result.user_ids is None or baseline.user_ids is None:
        raise DataError(where, "a paired difference needs user_ids in both results", "keep user_ids with the ranks")
    if not np.array_equal(result.user_ids, baseline.user_ids):
        raise DataError(
            where,
            f"the users differ ({len(result)} and {len(baseline)} rows, or another order)",
            "evaluate both on the same test rows in the same order",
        )
    if result.catalog_size != baseline.catalog_size:
        raise DataError(
            where,
            f"the catalogs have {result.catalog_size} and {baseline.catalog_size} items",
            "rank the same catalog in both",
        )
    return paired_interval(
        metric_values(result, metric), metric_values(baseline, metric), result.user_ids, resamples=resamples, seed=seed
    )
