"""Metrics of lists: cases worked out by hand, laws, and values of RecTools."""

import numpy as np
import pytest

from reckon.errors import DataError, ShapeError
from reckon.metrics import RankingResult, list_summary
from reckon.metrics.lists import (
    distinct_users,
    exposure,
    gini,
    intra_list_diversity,
    mean_popularity,
    novelty,
    popularity_lift,
)

LISTS = np.array([[2, 0], [1, 2], [0, 1]])
COUNTS = np.array([6, 3, 1, 0])
CLOSE = dict(rel=0, abs=1e-9)


def test_exposure_counts_only_the_first_k_items_without_padding():
    assert exposure(np.array([[0, 1, 2], [0, -1, -1]]), 4, 2).tolist() == [2, 1, 0, 0]


def test_gini_by_hand():
    # (1 * -3 + 2 * -1 + 3 * 1 + 6 * 3) / (4 * 12)
    assert gini(np.array([2, 6, 1, 3])) == pytest.approx(16 / 48, **CLOSE)
    assert gini(np.full(7, 3)) == pytest.approx(0, **CLOSE)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4, **CLOSE)


def test_gini_does_not_depend_on_the_unit():
    counts = np.arange(10)
    assert gini(5 * counts) == pytest.approx(gini(counts), **CLOSE)


def test_nothing_shown_is_refused():
    with pytest.raises(DataError, match="holds no items"):
        gini(np.zeros(4))


def test_novelty_by_hand():
    # Of 8 users 4 took item 0, 2 item 1, 1 item 2: 1, 2 and 3 bits.
    assert novelty(LISTS, np.array([4, 2, 1, 0]), 8, 2) == pytest.approx((2 + 2.5 + 1.5) / 3, **CLOSE)
    assert novelty(np.array([[3, -1]]), np.array([4, 2, 1, 0]), 8, 2) == pytest.approx(3, **CLOSE)


def test_a_user_who_takes_an_item_twice_counts_once():
    counts, users = distinct_users(np.array([0, 0, 0, 3, 3, 5]), np.array([2, 1, 2, 2, 0, 0]), 4)
    assert counts.tolist() == [2, 1, 2, 0]
    assert users == 3


def test_neither_order_nor_blocks_of_events_change_the_distinct_users(monkeypatch):
    import reckon.metrics.lists as module

    rng = np.random.default_rng(2)
    users, items = np.sort(rng.integers(0, 40, 300)), rng.integers(0, 12, 300)
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    expected = [sum(taken == item for _, taken in pairs) for item in range(12)], len(set(users.tolist()))
    mixed = rng.permutation(300)
    for block in (1, 2, 7, 50, 1000):
        monkeypatch.setattr(module, "BLOCK_EVENTS", block)
        for order in (slice(None), mixed):
            counts, number = distinct_users(users[order], items[order], 12)
            assert (counts.tolist(), number) == expected


def test_no_events_have_no_users():
    counts, users = distinct_users(np.zeros(0, dtype=int), np.zeros(0, dtype=int), 3)
    assert (counts.tolist(), users) == ([0, 0, 0], 0)


def test_mean_popularity_by_hand():
    assert mean_popularity(LISTS, COUNTS, 2) == pytest.approx((3.5 + 2 + 4.5) / 3, **CLOSE)
    assert mean_popularity(LISTS, COUNTS, 1) == pytest.approx((1 + 3 + 6) / 3, **CLOSE)


def test_popularity_lift_by_hand():
    # Lists 3.5, 2, 4.5; histories 6, 2, nobody: (2.75 - 4) / 4 over the two users with a history.
    histories = [np.array([0]), np.array([1, 2]), np.array([], dtype=int)]
    assert popularity_lift(LISTS, COUNTS, histories, 2) == pytest.approx((2.75 - 4) / 4, **CLOSE)
    assert popularity_lift(np.array([[0], [1]]), COUNTS, [np.array([0]), np.array([1])], 1) == 0


def test_diversity_by_hand():
    vectors = np.array([[1.0, 0], [0, 2], [3, 3], [0, 0]])
    half = 1 - np.sqrt(0.5)
    assert intra_list_diversity(LISTS, vectors, 2) == pytest.approx((half + half + 1) / 3, **CLOSE)
    assert intra_list_diversity(np.array([[0, 1, 2]]), vectors, 3) == pytest.approx((1 + 2 * half) / 3, **CLOSE)
    assert intra_list_diversity(np.array([[0, 3], [2, -1]]), vectors, 2) == pytest.approx(1, **CLOSE)


def test_diversity_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    vectors, lists = rng.random((20, 6)), np.stack([rng.permutation(20)[:5] for _ in range(9)])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [1 - unit[row[a]] @ unit[row[b]] for row in lists for a in range(5) for b in range(a)]
    assert intra_list_diversity(lists, vectors, 5) == pytest.approx(np.mean(pairs), **CLOSE)


def test_lists_that_are_too_short_are_refused():
    with pytest.raises(ShapeError, match="recommended"):
        novelty(LISTS, COUNTS, 8, 3)
    assert mean_popularity(np.array([[0, 1, 2, 3]]), COUNTS, 10) == 2.5  # the whole catalog is all there is


def test_metrics_do_not_depend_on_the_block_size(monkeypatch):
    import reckon.metrics.lists as module

    rng = np.random.default_rng(1)
    result = RankingResult("r", rng.integers(1, 31, 50), 30, np.stack([rng.permutation(30)[:6] for _ in range(50)]))
    known = dict(
        counts=rng.integers(0, 9, 30),
        user_counts=rng.integers(0, 5, 30),
        users=9,
        histories=list(rng.integers(0, 30, (50, 3))),
        vectors=rng.random((30, 4)),
    )
    whole = list_summary(result, 5, **known)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    assert list_summary(result, 5, **known) == pytest.approx(whole, **CLOSE)
    assert list(whole) == ["coverage@5", "gini@5", "novelty@5", "arp@5", "popularity_lift@5", "diversity@5"]
