"""The protocol: splits, sampled rows, and sampled ranking."""

import numpy as np
import pytest
from support import shelf

from reckon.baselines import Popularity
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.protocol import apply_split, rank_rows, rows_of
from reckon.comparison.ranking.contestants import RankedBaseline
from reckon.errors import ConfigError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


def rows(data, **settings):
    protocol = ProtocolConfig(**settings)
    return rows_of(apply_split(data, protocol), protocol, "test", protocol.rows)


def test_a_data_set_can_be_split_another_way(data):
    assert apply_split(data, ProtocolConfig()).protocol == "leave-one-out"
    temporal = apply_split(data, ProtocolConfig(split="temporal"))
    assert temporal.protocol == "temporal"
    tested = temporal.examples("test")
    assert temporal.events.time[temporal.is_training_event].max() < tested.times.min()
    assert data.protocol == "leave-one-out"  # the first one stays as it is


def test_the_given_split_needs_given_rows(data):
    with pytest.raises(ConfigError, match=r"protocol\.split"):
        apply_split(data, ProtocolConfig(split="given"))


def test_equal_rows_have_equal_checksums_and_others_do_not(data):
    assert rows(data).checksum == rows(data).checksum
    assert len({rows(data).checksum, rows(data, rows=5).checksum, rows(data, negatives=2).checksum}) == 3
    assert len(rows(data, rows=5)) == 5


def test_a_shorter_window_reads_less_of_the_same_rows(data):
    found = rows(data)
    short = found.within(2)
    assert all(len(short.history(row)) == 2 for row in range(len(short)))
    assert all((short.seen(row) == found.examples.seen(row)).all() for row in range(len(short)))
    assert (short.targets == found.examples.targets).all()


def test_negatives_hold_neither_the_target_nor_the_history(data):
    found = rows(data, negatives=4)
    for row, drawn in enumerate(found.negatives):
        assert len(set(drawn.tolist())) == 4
        assert not set(drawn.tolist()) & {int(found.examples.targets[row]), *found.examples.seen(row).tolist()}


def test_more_negatives_than_items_are_refused(data):
    with pytest.raises(ConfigError, match=r"protocol\.negatives"):
        rows(data, negatives=11)


def test_a_sampled_rank_counts_the_negatives_that_score_as_much(data):
    baseline, found = Popularity.fit(data), rows(data, negatives=4)
    ranked = rank_rows(RankedBaseline(baseline), found, 20, 5, len(data.catalog))
    scores = baseline.scores([np.array([], dtype=int)])[0].numpy()
    for row, target in enumerate(found.examples.targets):
        assert ranked.ranks[row] == 1 + (scores[found.negatives[row]] >= scores[target]).sum()
    full = rank_rows(RankedBaseline(baseline), rows(data), 20, 5, len(data.catalog))
    assert (ranked.ranks <= full.ranks).all() and (ranked.ranks < full.ranks).any()


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_seen_target_is_a_sampled_miss_only_with_exclude_seen(tmp_path, exclude_seen):
    data = shelf.dataset(tmp_path / "data", step=4)  # readers go round three books
    found = rows(data, negatives=4, exclude_seen=exclude_seen)
    ranker = RankedBaseline(Popularity.fit(data, exclude_seen=exclude_seen))
    missed = rank_rows(ranker, found, 20, 5, len(data.catalog)).ranks == len(data.catalog) + 1
    assert missed.all() == exclude_seen and missed.any() == exclude_seen


class NarrowBeam(RankedBaseline):
    """Finds no target in its own search, as a beam narrower than the catalog may."""

    def ranks(self, examples, k, on_batch=None):
        ranked = super().ranks(examples, k, on_batch)
        ranked.ranks[:] = len(self.baseline.catalog) + 1
        return ranked


def test_with_repeats_a_seen_target_outside_the_beam_is_ranked_among_the_negatives(tmp_path):
    data = shelf.dataset(tmp_path / "data", step=4)
    found = rows(data, negatives=4, exclude_seen=False)
    assert all(target in found.examples.seen(row) for row, target in enumerate(found.examples.targets))
    baseline = Popularity.fit(data, exclude_seen=False)
    narrow, wide = (rank_rows(kind(baseline), found, 20, 5, len(data.catalog)) for kind in (NarrowBeam, RankedBaseline))
    assert (narrow.ranks == wide.ranks).all() and narrow.ranks.max() <= 5
