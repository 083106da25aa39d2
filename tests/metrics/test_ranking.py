"""Ranks, ties, misses, NaN, and the ranking metrics: hand-computed cases and laws."""

import math

import numpy as np
import pytest

from reckon.errors import ConfigError, DataError, ShapeError
from reckon.metrics import (
    RankingResult,
    coverage,
    hit_at,
    metric_values,
    mrr,
    ndcg_at,
    paired_difference,
    rank_values,
    ranks_from_scores,
    summary,
)


def result(ranks, catalog_size=100, **fields):
    return RankingResult("method", np.array(ranks), catalog_size, **fields)


@pytest.fixture
def random_result():
    rng = np.random.default_rng(3)
    users = np.array([f"u{n}" for n in range(400)], dtype=object)
    return result(rng.integers(1, 102, size=400), user_ids=users, recommended=rng.integers(0, 100, size=(400, 20)))


def test_a_rank_counts_the_items_with_a_higher_score():
    scores = np.array([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0]])
    assert ranks_from_scores(scores, np.array([2, 0])).tolist() == [2, 1]


def test_a_target_ties_behind_every_item_with_its_score():
    assert ranks_from_scores(np.zeros((2, 5)), np.array([0, 4])).tolist() == [5, 5]
    assert ranks_from_scores(np.array([[1.0, 2.0, 1.0, 0.0]]), np.array([0])).tolist() == [3]


def test_a_target_with_minus_infinity_comes_last():
    assert ranks_from_scores(np.array([[-np.inf, 0.0, -np.inf]]), np.array([0])).tolist() == [3]


def test_excluded_items_do_not_count():
    scores = np.array([[4.0, 3.0, 2.0, 1.0]])
    exclude = np.array([[True, False, False, True]])
    assert ranks_from_scores(scores, np.array([2]), exclude).tolist() == [2]


def test_an_excluded_target_is_refused_unless_it_may_be_a_miss():
    scores, targets, exclude = np.array([[2.0, 1.0], [2.0, 1.0]]), np.array([0, 0]), np.eye(2, dtype=bool)
    with pytest.raises(DataError, match="row 0"):
        ranks_from_scores(scores, targets, exclude)
    assert ranks_from_scores(scores, targets, exclude, masked_target="miss").tolist() == [3, 1]


def test_a_miss_earns_nothing_even_when_k_exceeds_the_catalog():
    missed = result([3, 1], catalog_size=2)
    assert hit_at(missed, 20) == 0.5
    assert ndcg_at(missed, 20) == 0.5
    assert mrr(missed) == 0.5


def test_nan_scores_are_refused_with_their_place():
    scores = np.zeros((3, 4))
    scores[1, 2] = np.nan
    with pytest.raises(DataError, match=r"scores\[1, 2\] is NaN|scores\[1, 2\]: is NaN"):
        ranks_from_scores(scores, np.zeros(3, dtype=int))


@pytest.mark.parametrize("targets", [np.array([0]), np.array([[0, 1]])])
def test_targets_of_another_shape_are_refused(targets):
    with pytest.raises(ShapeError, match="targets"):
        ranks_from_scores(np.zeros((2, 3)), targets)


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_outside_the_catalog_is_refused(target):
    with pytest.raises(DataError, match="outside"):
        ranks_from_scores(np.zeros((1, 3)), np.array([target]))


def test_the_worked_example_of_the_docs():
    worked = result([1, 3, 7, 101])
    assert hit_at(worked, 5) == 2 / 4
    assert hit_at(worked, 10) == 3 / 4
    assert ndcg_at(worked, 5) == pytest.approx((1 + 1 / 2) / 4)
    assert ndcg_at(worked, 10) == pytest.approx((1 + 1 / 2 + 1 / 3) / 4)
    assert mrr(worked) == pytest.approx((1 + 1 / 3 + 1 / 7 + 0) / 4)


def test_ndcg_of_each_rank_is_the_logarithmic_discount():
    values = metric_values(result(range(1, 12)), "ndcg@10")
    assert values.tolist() == pytest.approx([1 / math.log2(1 + rank) for rank in range(1, 11)] + [0.0])


@pytest.mark.parametrize("k", [1, 5, 10, 20, 1000])
def test_ndcg_never_exceeds_hit(random_result, k):
    assert (metric_values(random_result, f"ndcg@{k}") <= metric_values(random_result, f"hit@{k}")).all()
    assert ndcg_at(random_result, 1) == hit_at(random_result, 1)


def test_metrics_grow_with_k(random_result):
    for metric in (hit_at, ndcg_at, coverage):
        by_k = [metric(random_result, k) for k in (1, 5, 10, 20)]
        assert by_k == sorted(by_k)


def test_the_order_of_rows_does_not_matter(random_result):
    order = np.random.default_rng(0).permutation(len(random_result))
    shuffled = RankingResult(
        "method",
        random_result.ranks[order],
        100,
        recommended=random_result.recommended[order],
        user_ids=random_result.user_ids[order],
    )
    for key, value in summary(random_result).items():
        assert summary(shuffled)[key] == pytest.approx(value), key


def test_coverage_counts_each_item_once_over_the_whole_catalog():
    shown = np.array([[0, 1, 2], [0, 3, -1]])
    covered = result([1, 1], catalog_size=10, recommended=shown)
    assert coverage(covered, 1) == 1 / 10
    assert coverage(covered, 3) == 4 / 10


def test_coverage_needs_lists_that_are_long_enough():
    with pytest.raises(ShapeError, match="coverage@20"):
        coverage(result([1]), 20)
    with pytest.raises(ShapeError, match="coverage@20"):
        coverage(result([1], recommended=np.zeros((1, 10), dtype=int)), 20)
    assert coverage(result([1], catalog_size=2, recommended=np.array([[0, 1]])), 20) == 1.0


def test_the_summary_has_exactly_the_keys_of_metrics_json(random_result):
    row = summary(random_result)
    metrics = [f"{name}@{k}" for k in (5, 10, 20) for name in ("hit", "ndcg")]
    assert set(row) == {"name", "mrr", "coverage@20", *metrics, *(f"{metric}_ci" for metric in metrics)}
    for metric in metrics:
        lo, hi = row[f"{metric}_ci"]
        assert lo <= row[metric] <= hi


def test_the_summary_ends_with_the_rates_of_the_result():
    counted = RankingResult("method", np.array([1]), 5, rates={"truncated": 0.25, "reply_length": 17.0})
    assert list(summary(counted).items())[-2:] == [("truncated", 0.25), ("reply_length", 17.0)]


@pytest.mark.parametrize(
    ("ranks", "error"),
    [
        ([0], DataError),
        ([102], DataError),
        ([1.5], DataError),
        ([], ShapeError),
        ([[1]], ShapeError),
    ],
)
def test_invalid_ranks_are_refused(ranks, error):
    with pytest.raises(error, match="ranks"):
        result(ranks)


@pytest.mark.parametrize(
    "fields",
    [
        {"user_ids": ["a"]},
        {"recommended": np.zeros((1, 5), dtype=int)},
        {"recommended": np.full((2, 5), 100)},
    ],
)
def test_fields_that_do_not_fit_the_ranks_are_refused(fields):
    with pytest.raises((ShapeError, DataError), match=next(iter(fields))):
        result([1, 2], **fields)


@pytest.mark.parametrize("metric", ["hit", "mrr@5", "hit@x", "precision@5", "hit@0", "hit@-1", "hit@"])
def test_an_unknown_metric_is_refused(metric):
    with pytest.raises(ConfigError, match="metric"):
        metric_values(result([1]), metric)


def test_a_paired_difference_is_the_difference_of_the_metrics():
    users = ["a", "b", "c", "d"]
    better, worse = result([1, 1, 4, 50], user_ids=users), result([1, 9, 9, 50], user_ids=users)
    assert paired_difference(better, worse, "hit@5").difference == 0.5
    assert paired_difference(worse, better, "hit@5").difference == -0.5


@pytest.mark.parametrize(
    "other",
    [
        result([1, 2], user_ids=["b", "a"]),
        result([1, 2, 3], user_ids=["a", "b", "c"]),
        result([1, 2]),
        result([1, 2], catalog_size=50, user_ids=["a", "b"]),
    ],
    ids=["order", "count", "no ids", "catalog"],
)
def test_a_pair_of_results_on_other_rows_is_refused(other):
    with pytest.raises(DataError, match="against"):
        paired_difference(result([1, 2], user_ids=["a", "b"]), other, "hit@5")


def test_a_miss_counts_zero_for_cutoffs_beyond_the_catalog():
    missed = np.full(4, 9)  # of 8 items
    for metric in ("hit@10", "recall@10", "ndcg@10", "mrr"):
        assert rank_values(missed, metric, 8).tolist() == [0.0] * 4


def test_rank_values_do_not_depend_on_the_type_of_ranks():
    assert rank_values([1, 3, 9], "ndcg@10", 8).tolist() == [1.0, 0.5, 0.0]
    assert rank_values(np.array([1, 3, 9]), "hit@2", 8).tolist() == [1.0, 0.0, 0.0]
