"""What was recommended, whether it was right or not: concentration, novelty, popularity bias, diversity.

Entry points: `exposure` counts, `gini`, `novelty`, `mean_popularity`, `popularity_lift` and `intra_list_diversity`
turn lists into one number each; `list_summary` makes them all. `distinct_users` counts what `novelty` needs.

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
    """How often each item stands in the first k places of a list: [I]."""
    lists = _first(lists, k, catalog_size)
    counts = np.zeros(catalog_size, dtype=np.int64)
    for block in _blocks(lists):
        counts += np.bincount(block[block != NO_ITEM], minlength=catalog_size)
    return counts


def gini(counts: IntArray) -> float:
    """Gini coefficient of exposure, 0 where every item is shown alike, (I - 1) / I where one item takes all.

    G = sum_i (2 i - I - 1) x_i / (I sum_i x_i), x_i the exposures in rising order, i = 1..I; all I items of the catalog
    count, also those that nobody is shown.

    Source: Gini (1912), in the form of Damgaard and Weiner, Ecology 81 (2000), equation 1.

    Raises:
        DataError: nothing was recommended at all.
    """
    counts = np.sort(np.asarray(counts, dtype=np.float64))
    total, size = counts.sum(), len(counts)
    if total == 0:
        raise DataError("recommended", "holds no items, so nothing is concentrated", "keep lists with the ranks")
    places = np.arange(1, size + 1)
    return float(((2 * places - size - 1) * counts).sum() / (size * total))


def distinct_users(user_index: IntArray, item_index: IntArray, catalog_size: int) -> tuple[IntArray, int]:
    """How many different users took each item [I], and how many users there are: what `novelty` needs of training.

    Events that stand user by user, as in a `Dataset`, are read in blocks, so that memory does not grow with them; in
    any other order they are one block.

    Args:
        user_index: [E] who took the item of each event, from 0.
        item_index: [E] the item, 0..I - 1; a user may take one several times and counts once.
        catalog_size: I.
    """
    from scipy.sparse import coo_array

    counts, users = np.zeros(catalog_size, dtype=np.int64), 0
    for block in _whole_users(user_index):
        takers = user_index[block] - user_index[block].min()  # from 0, or the matrix would be as wide as all users
        shape = (catalog_size, int(takers.max()) + 1)
        # In CSR an entry that is given twice is one.
        taken = coo_array((np.ones(len(takers), dtype=bool), (item_index[block], takers)), shape=shape).tocsr()
        counts += np.diff(taken.indptr)
        users += int(np.count_nonzero(np.bincount(takers)))
    return counts, users


def _whole_users(user_index: IntArray) -> Iterator[slice]:
    """Blocks of events of which no two hold the same user."""
    overlapping = (user_index[start : start + BLOCK_EVENTS + 1] for start in range(0, len(user_index), BLOCK_EVENTS))
    in_order = all((events[1:] >= events[:-1]).all() for events in overlapping)
    starts = (
        np.unique(np.searchsorted(user_index, user_index[::BLOCK_EVENTS])) if in_order else np.zeros(1, dtype=np.int64)
    )
    return starmap(slice, pairwise([*starts, len(user_index)]))


def novelty(lists: IntArray, user_counts: IntArray, users: int, k: int) -> float:
    """Mean self-information of what is recommended, in bits; the higher, the less known.

    A list is worth the mean over its items of -log2(n_i / n), n_i the training users who took item i, n all of them; an
    item that nobody took counts as taken by one. Then the mean over the U lists.

    Source: Zhou et al., PNAS 107 (2010), "surprisal"; Castells et al., Recommender Systems Handbook (2015), section
    26.3.2.

    Args:
        lists: [U, K] item indices.
        user_counts, users: [I] n_i and n, as `distinct_users` counts them.
        k: places of each list that count.
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
    """How much more popular the lists are than what the same users took: 0 is alike, 1 twice as popular.

    PL = (mean over users of their list's mean popularity - the same of their histories) / the latter. Users without
    history or without list are left out of both means.

    Source: Abdollahpouri et al., "The Connection Between Popularity Bias, Calibration, and Fairness in Recommendation"
    (RecSys 2020), equation 2, for one group of all users.

    Args:
        lists: [U, K] item indices.
        counts: [I] training interactions.
        histories: U arrays of item indices, or all of them joined with the row that each belongs to.
        k: places of each list that count.
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
        raise DataError("histories", "hold no item of the training data", "compare lists with the users' own histories")
    return float((shown[both].mean() - before) / before)


def intra_list_diversity(lists: IntArray, vectors: Any, k: int) -> float:
    """Mean distance 1 - cosine between two items of one list, 0..1 for vectors without negative entries.

    A list of n items has n (n - 1) / 2 pairs; the mean over its pairs, then over lists of two items or more. An item
    whose vector is zero is at distance 1 from all others.

    Since rows have length 1, the sum over pairs is (|sum of the vectors|^2 - n') / 2 with n' vectors that are not
    zero: no pair is ever formed.

    Source: Ziegler et al., "Improving Recommendation Lists Through Topic Diversification" (WWW 2005), equation 4,
    with a distance in place of the similarity.

    Args:
        lists: [U, K] item indices.
        vectors: [I, D] of the items, a numpy array or a scipy sparse matrix, any length.
        k: places of each list that count.
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
        squares = _squares(picked @ unit)  # [u] of the sums of their vectors
        nonzero = np.bincount(rows, weights=(lengths > 0)[block[kept]], minlength=len(block))
        similar = (squares - nonzero) / 2  # sum of the cosines of all pairs
        pairs = size * (size - 1) / 2
        several = size > 1
        total += float((1 - similar[several] / pairs[several]).sum())
        counted += int(several.sum())
    if counted == 0:
        raise DataError("recommended", "holds no list of two items, so nothing differs", "keep at least two per row")
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
    """Every metric of lists: `coverage@K`, `gini@K`, `novelty@K`, `arp@K`, `popularity_lift@K`, `diversity@K`.

    Args:
        result: with lists of at least k items.
        k: places of each list that count.
        counts, user_counts: [I] training interactions of each item, and its distinct users.
        users: training users.
        histories: as in `popularity_lift`; None leaves it out.
        vectors: as in `intra_list_diversity`; None leaves it out.
    """
    lists = result.recommended
    if lists is None:
        raise ShapeError(f"{result.name}: recommended", (), f"[U, {k}]")
    summary = {
        f"coverage@{k}": coverage(result, k),
        f"gini@{k}": gini(exposure(lists, result.catalog_size, k)),
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
    """Mean worth of the items of each list: [U]; NaN for an empty one, which no mean counts."""
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
