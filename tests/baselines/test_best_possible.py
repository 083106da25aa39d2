"""On the simulated bookshop the truth is known: no baseline goes beyond it, and who knows it reaches it."""

import pytest

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.sequence_baseline import SequenceBaseline
from reckon.comparison.oracle import Oracle
from reckon.data import Dataset
from reckon.data.bookshop import best_possible, shop_of, write_bookshop
from reckon.metrics import RankingResult, metric_interval, metric_values

METRICS = ("hit@5", "ndcg@5")
WRITERS = ("tiger", "bigrec", "d3")  # need a language model, or minutes
QUICK = {baseline.NAME: baseline.CONFIG(epochs=6, width=32) for baseline in SequenceBaseline.__subclasses__()}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "data"
    write_bookshop(path, train_readers=150, valid_readers=60, test_readers=400, notes=1)
    return Dataset.load(path)


@pytest.fixture(scope="module")
def best(shop):
    return best_possible(shop_of(shop)[0], shop.examples("test"), shop_of(shop)[1], cutoffs=(5,))


def result(baseline, shop, config=None):
    examples = shop.examples("test")
    ranks = baseline.fit(shop, config, seed=0).ranks(examples, 1).ranks
    return RankingResult(baseline.NAME, ranks, len(shop.catalog), user_ids=examples.user_ids)


def test_an_oracle_reaches_the_best_possible(shop, best):
    found = result(Oracle, shop)
    for metric in METRICS:
        interval = metric_interval(found, metric)
        assert interval.lo <= best[metric] <= interval.hi


@pytest.mark.parametrize("name", [name for name in RANKING_BASELINES if name not in (*WRITERS, "recent-popularity")])
def test_every_baseline_lies_below_the_best_possible(name, shop, best):
    found = result(RANKING_BASELINES[name], shop, QUICK.get(name))
    for metric in METRICS:
        assert metric_values(found, metric).mean() < best[metric]


@pytest.mark.parametrize("name", ["item-knn", "ease", "als", "hybrid", "sasrec", "gru4rec"])
def test_reading_the_history_beats_popularity(name, shop):
    popular = result(RANKING_BASELINES["popularity"], shop)
    found = result(RANKING_BASELINES[name], shop, QUICK.get(name))
    assert metric_values(found, "ndcg@5").mean() > 1.5 * metric_values(popular, "ndcg@5").mean()
