"""A snapshot ranks what may be recommended: seen items, exclusions, filters, deleted items."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import torch

from reckon.data import Catalog
from reckon.serving.models.filters import Filter
from reckon.serving.models.snapshot import CatalogSnapshot, Past, Selection

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEMS = pa.table({"item_id": list("abcde"), "title": list("ABCDE"), "price": [1, 2, 3, 4, 5]})
VECTORS = torch.tensor([[5.0, 0.0], [4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
QUERY = torch.tensor([1.0, 0.0])  # ranks a, b, c, d, e with the scores 5, 4, 3, 2, 1


def snapshot(hidden=(), bias=None):
    return CatalogSnapshot(Catalog(ITEMS), VECTORS, bias, frozenset(hidden))


def ranked(k=5, hidden=(), **selection):
    return "".join(snapshot(hidden).rank(QUERY, Selection(**selection), k).ids)


def test_the_best_items_come_first_and_only_k_of_them():
    assert ranked(k=3) == "abc"


def test_seen_items_stay_out():
    assert ranked(seen=[Past("a"), Past("d")], policy="exclude") == "bce"


def test_seen_items_are_ranked_as_all_others_where_they_are_kept():
    assert ranked(seen=[Past("a"), Past("d")], policy="keep") == "abcde"


def test_a_seen_item_loses_less_the_longer_ago_it_was():
    past = {"a": 0, "b": 10, "c": 20}  # days ago; the penalty of 8 is halved every 10 days
    seen = [Past(item, NOON - timedelta(days=days)) for item, days in past.items()]
    found = snapshot().rank(QUERY, Selection(seen=seen, policy="fade", fade_days=10, fade_penalty=8.0), 5)
    lost = dict(zip(found.ids, found.parts["seen"], strict=True))
    assert lost == {"a": -8.0, "b": -4.0, "c": -2.0, "d": 0.0, "e": 0.0}
    assert [found.ids[0], *found.ids[3:]] == ["d", "b", "a"]  # scores 2, then c and e with 1, 0, -3


def test_of_several_events_of_an_item_the_latest_counts():
    seen = [Past("a", NOON - timedelta(days=10)), Past("a", NOON)]
    found = snapshot().rank(QUERY, Selection(seen=seen, policy="fade", fade_days=10, fade_penalty=8.0), 5)
    assert found.parts["seen"][found.ids.index("a")] == -8.0


def test_an_event_without_a_time_loses_as_one_seen_now():
    found = snapshot().rank(QUERY, Selection(seen=[Past("a")], policy="fade", fade_penalty=8.0), 5)
    assert found.ids[-1] == "a" and found.scores[-1] == -3.0


def test_excluded_items_stay_out_and_unknown_ones_are_ignored():
    assert ranked(exclude=frozenset({"b", "no such item"})) == "acde"


def test_a_filter_leaves_what_fits():
    assert ranked(filter=Filter.parse("price >= 3 and price != 4")) == "ce"


def test_deleted_items_are_hidden():
    assert ranked(hidden="ac") == "bde"
    assert "a" not in snapshot("a") and "b" in snapshot("a") and "x" not in snapshot()


def test_where_nothing_is_left_the_list_is_empty():
    assert ranked(exclude=frozenset("abcde")) == ""
    assert snapshot("abcde").popular({"a": 1}, Selection(), 5).ids == []


def test_the_parts_add_up_to_the_scores():
    seen = [Past("a", NOON), Past("b", NOON - timedelta(days=3))]
    bias = torch.tensor([0.5, 0.25, -1.0, 0.0, 2.0])
    found = snapshot(bias=bias).rank(QUERY, Selection(seen=seen, policy="fade", fade_penalty=3.0), 5)
    assert set(found.parts) == {"match", "popularity", "seen"}
    sums = [sum(values) for values in zip(*found.parts.values(), strict=True)]
    assert found.scores == pytest.approx(sums) and found.scores == sorted(found.scores, reverse=True)


def test_similar_items_are_the_nearest_by_cosine_without_the_item_itself():
    found = snapshot().similar(["a"], Selection(), 5)
    assert "".join(found.ids) == "bcde"
    assert found.scores[0] == pytest.approx(4 / 17**0.5)


def test_similar_to_several_items_leaves_all_of_them_out():
    assert set(snapshot().similar(["a", "e", "unknown"], Selection(), 5).ids) == {"b", "c", "d"}
    assert snapshot().similar(["unknown"], Selection(), 5).ids == []


def test_popular_items_come_in_the_order_of_their_events():
    found = snapshot().popular({"c": 7, "a": 2, "e": 5, "unknown": 99}, Selection(), 3)
    assert found.ids == ["c", "e", "a"] and found.scores == [7.0, 5.0, 2.0]


def test_listed_items_keep_their_order_without_unknown_and_deleted_ones():
    found = snapshot("c").listed(["e", "c", "x", "a"])
    assert found.ids == ["e", "a"] and found.titles == ["E", "A"]


def test_k_may_be_larger_than_the_catalog():
    assert ranked(k=1000) == "abcde"


def test_popular_items_of_equal_counts_keep_one_order_whatever_is_asked_for():
    counts = {"d": 3, "b": 1, "e": 1, "a": 1}
    found = [snapshot().popular(counts, Selection(), k).ids for k in (1, 2, 3, 4, 5)]
    assert found == [list("dabec")[:k] for k in (1, 2, 3, 4, 5)]
