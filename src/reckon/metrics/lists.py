"""Metrics of recommended lists that need no target: concentration, novelty, popularity bias, diversity.

Entry points: `exposure` counts, `gini`, `novelty`, `mean_popularity`, `popularity_lift` and `intra_list_diversity`
each turn lists into one number; `list_summary` computes all of them. `distinct_users` counts the users that `novelty`
needs.

Lists are item indices [U, K], best first, -1 where a row has fewer; only the first k columns are read. Counts of
interactions are those of training. Memory: a block of rows at a time, so it does not grow with users times items.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, starmap
from typing import Any

import numpy as np
import numpy.typing as npt

from reckon.errors import DataError, ShapeError
from reckon.metrics.ranking import NO_ITEM, RankingResult, coverage

IntArray = npt.NDArray[np.integer]
FloatArray = npt.NDArray[np.floating]
BLOCK_ROWS = 2_048  # lists read at once
BLOCK_EVENTS = 65_536  # training events read at once


def exposure(lists: IntArray, catalog_size: int, k: int) -> IntArray:
    """How many lists hold each item among their first k: [I]."""
    lists = _first(lists, k, catalog_size)
    counts = np.zeros(catalog_size, dtype=np.int64)
    for block in _blocks(lists):
        counts += np.bincount(block[block != NO_ITEM], minlength=catalog_size)
    return counts


def gini(counts: IntArray) -> float:
    """Gini coefficient of exposure: 0 where every item is shown equally often, (I - 1) / I where one item fills all
    places.

    G = sum_i (2 i - I - 1) x_i / (I sum_i x_i), x_i the exposures in rising order, i = 1..I. All I items of the catalog
    count, those with exposure 0 included.

    Source: Gini (1912), in the form of Damgaard and Weiner, Ecology 81 (2000), equation 1.

    Raises:
        DataError: nothing was recommended at all.
    """
    counts = np.sort(np.asarray(counts, dtype=np.float64))
    total, size = counts.sum(), len(counts)
    if total == 0:
        raise DataError(
            "recommended", "holds no items, so the Gini coefficient is undefined", "keep lists with the ranks"
        )
    places = np.arange(1, size + 1)
    return float(((2 * places - size - 1) * counts).sum() / (size * total))


def distinct_users(user_index: IntArray, item_index: IntArray, catalog_size: int) -> tuple[IntArray, int]:
    """Number of distinct users of each item [I], and the number of users: the training counts that `novelty` needs.

    Events sorted by user, as in a `Dataset`, are read in blocks of bounded memory; in any other order they are one
    block.

    Args:
        user_index: [E] user of each event, from 0.
        item_index: [E] item of each event, 0..I - 1; a user who takes an item several times counts once.
        catalog_size: I.
    """
    from scipy.sparse import coo_array

    counts, users = np.zeros(catalog_size, dtype=np.int64), 0
    for block in _whole_users(user_index):
        takers = user_index[block] - user_index[block].min()  # from 0, or the matrix would be as wide as all users
        shape = (catalog_size, int(takers.max()) + 1)
        # CSR merges duplicate entries.
        taken = coo_array((np.ones(len(takers), dtype=bool), (item_index[block], takers)), shape=shape).tocsr()
        counts += np.diff(taken.indptr)
        users += int(np.count_nonzero(np.bincount(takers)))
    return counts, users


def _whole_users(user_index: IntArray) -> Iterator[slice]:
    """Slices of events; all events of a user are in one slice."""
    overlapping = (user_index[start : start + BLOCK_EVENTS + 1] for start in range(0, len(user_index), BLOCK_EVENTS))
    in_order = all((events[1:] >= events[:-1]).all() for events in overlapping)
    starts = (
        np.unique(np.searchsorted(user_index, user_index[::BLOCK_EVENTS])) if in_order else np.zeros(1, dtype=np.int64)
    )
    return starmap(slice, pairwise([*starts, len(user_index)]))


def novelty(lists: IntArray, user_counts: IntArray, users: int, k: int) -> float:
    """Mean self-information of the recommended items, in bits; higher means less popular items.

    The value of one list is the mean of -log2(n_i / n) over its items: n_i training users took item i, out of n; n_i is
    at least 1. The metric is the mean over the U lists.

    Source: Zhou et al., PNAS 107 (2010), "surprisal"; Castells et al., Recommender Systems Handbook (2015), section
    26.3.2.

    Args:
        lists: [U, K] item indices.
        user_counts, users: [I] n_i and n, as `distinct_users` counts them.
        k: only the first k items of each list count.
    """
    bits = -np.log2(np.maximum(np.asarray(user_counts, dtype=np.float64), 1) / users)
    return _mean_over_lists(lists, bits, k)


def mean_popularity(lists: IntArray, counts: IntArray, k: int) -> float:
    """Average recommendation popularity: mean over lists of the mean training interactions of their items.

    Source: Abdollahpouri et al., "Managing Popularity Bias in Recommender Systems with Personalized Re-ranking" (FLAIRS
    2019), ARP.
    """
    return _mean_over_lists(lists, np.asarray(counts, dtype=np.float64), k)


def popularity_lift(
    lists: IntArray, counts: IntArray, histories: Sequence[IntArray] | tuple[IntArray, IntArray], k: int
) -> float:
    """Relative difference in mean popularity between the lists and the users' histories: 0 is equal, 1 is twice as
    popular.

    PL = (L - H) / H, with L the mean over users of the mean popularity of their list, and H the same of their history.
    Users without a history or without a list are left out of both means.

    Source: Abdollahpouri et al., "The Connection Between Popularity Bias, Calibration, and Fairness in Recommendation"
    (RecSys 2020), equation 2, for one group of all users.

    Args:
        lists: [U, K] item indices.
        counts: [I] training interactions.
        histories: U arrays of item indices, or two arrays: all item indices, and the row of each.
        k: only the first k items of each list count.
    """
    lists = _first(lists, k, len(counts))
    weights = np.asarray(counts, dtype=np.float64)
    shown = _list_means(lists, weights)
    items, rows = histories if isinstance(histories, tuple) else _joined(histories)
    taken = np.bincount(rows, minlength=len(lists))
    own = np.bincount(rows, weights=weights[items], minlength=len(lists))
    both = (taken > 0) & np.isfinite(shown)
    before = (own[both] / taken[both]).mean() if both.any() else 0.0
    if before == 0:
        raise DataError(
            "histories", "hold no item with training interactions", "compare lists with the users' own histories"
        )
    return float((shown[both].mean() - before) / before)


def intra_list_diversity(lists: IntArray, vectors: Any, k: int) -> float:
    """Mean distance 1 - cosine between the items of one list, in 0..1 for vectors without negative entries.

    The mean is taken over the n (n - 1) / 2 pairs of each list, then over the lists of two items or more. An item whose
    vector is zero has distance 1 from all others.

    Vectors are scaled to length 1, so the sum of cosines over the pairs is (|sum of the vectors|^2 - n') / 2, with n'
    the number of non-zero vectors; the pairs are never formed.

    Source: Ziegler et al., "Improving Recommendation Lists Through Topic Diversification" (WWW 2005), equation 4,
    with a distance in place of the similarity.

    Args:
        lists: [U, K] item indices.
        vectors: [I, D] one vector per item, a numpy array or a scipy sparse matrix; lengths do not matter.
        k: only the first k items of each list count.
    """
    from scipy.sparse import csr_array, diags_array, issparse

    lists = _first(lists, k, vectors.shape[0])
    plain = csr_array(vectors, dtype=np.float64) if issparse(vectors) else np.asarray(vectors, dtype=np.float64)
    lengths = np.sqrt(_squares(plain))
    unit = diags_array(np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)) @ plain
    total, counted = 0.0, 0
    for block in _blocks(lists):
        kept = block != NO_ITEM
        size = kept.sum(axis=1)  # [u]
        rows = np.repeat(np.arange(len(block)), size)
        picked = csr_array((np.ones(len(rows)), (rows, block[kept])), shape=(len(block), unit.shape[0]))
        squares = _squares(picked @ unit)  # [u] squared length of each list's vector sum
        nonzero = np.bincount(rows, weights=(lengths > 0)[block[kept]], minlength=len(block))
        similar = (squares - nonzero) / 2  # sum of the cosines of all pairs
        pairs = size * (size - 1) / 2
        several = size > 1
        total += float((1 - similar[several] / pairs[several]).sum())
        counted += int(several.sum())
    if counted == 0:
        raise DataError(
            "recommended", "holds no list of two items, so no distance is defined", "keep at least two per row"
        )
    return total / counted


def _squares(rows: Any) -> FloatArray:
    """Squared length of each row, dense or sparse."""
    squared = rows * rows if isinstance(rows, np.ndarray) else rows.multiply(rows)
    return np.asarray(squared.sum(axis=1)).ravel()


def list_summary(
    result: RankingResult,
    k: int,
    *,
    counts: IntArray,
    user_counts: IntArray,
    users: int,
    histories: Sequence[IntArray] | tuple[IntArray, IntArray] | None = None,
    vectors: Any = None,
) -> dict[str, float]:
    """Every metric of lists: `coverage@K`, `gini@K`, `novelty@K`, `arp@K`, `popularity_lift@K`, `diversity@K`;
    `coverage@K` alone where no list holds an item, since the others are then undefined.

    Args:
        result: with lists of at least k items.
        k: only the first k items of each list count.
        counts, user_counts: [I] training interactions and distinct training users of each item.
        users: number of training users.
        histories: as in `popularity_lift`; None leaves that metric out.
        vectors: as in `intra_list_diversity`; None leaves that metric out.
    """
    lists = result.recommended
    if lists is None:
        raise ShapeError(f"{result.name}: recommended", (), f"[U, {k}]")
    shown = exposure(lists, result.catalog_size, k)
    if not shown.any():  # every user has taken the whole catalog, say
        return {f"coverage@{k}": 0.0}
    summary = {
        f"coverage@{k}": coverage(result, k),
        f"gini@{k}": gini(shown),
        f"novelty@{k}": novelty(lists, user_counts, users, k),
        f"arp@{k}": mean_popularity(lists, counts, k),
    }
    if histories is not None:
        summary[f"popularity_lift@{k}"] = popularity_lift(lists, counts, histories, k)
    if vectors is not None:
        summary[f"diversity@{k}"] = intra_list_diversity(lists, vectors, k)
    return summary


def _mean_over_lists(lists: IntArray, worth: FloatArray, k: int) -> float:
    means = _list_means(_first(lists, k, len(worth)), worth)
    if not np.isfinite(means).any():
        raise DataError("recommended", "holds no items", "keep lists with the ranks")
    return float(np.nanmean(means))


def _list_means(lists: IntArray, worth: FloatArray) -> FloatArray:
    """Mean of `worth` [I] over the items of each list: [U]; NaN for an empty list, which later means leave out."""
    means = np.full(len(lists), np.nan)
    for start, block in zip(range(0, len(lists), BLOCK_ROWS), _blocks(lists), strict=True):
        kept = block != NO_ITEM
        size = kept.sum(axis=1)
        sums = np.where(kept, worth[block], 0.0).sum(axis=1)
        np.divide(sums, size, out=means[start : start + len(block)], where=size > 0)
    return means


def _first(lists: IntArray, k: int, catalog_size: int) -> IntArray:
    lists = np.asarray(lists)
    if lists.ndim != 2 or lists.shape[1] < min(k, catalog_size) or k < 1:
        raise ShapeError("recommended", lists.shape, f"[U, {k}] or wider, with k at least 1")
    return lists[:, :k]


def _blocks(lists: IntArray) -> Iterator[IntArray]:
    return (lists[start : start + BLOCK_ROWS] for start in range(0, len(lists), BLOCK_ROWS))


def _joined(histories: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    lengths = [len(history) for history in histories]
    items = np.concatenate([np.asarray(history, dtype=np.int64) for history in histories]) if histories else np.empty(0)
    return items.astype(np.int64), np.repeat(np.arange(len(histories)), lengths)
