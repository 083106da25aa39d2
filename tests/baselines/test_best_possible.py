"""On the simulated bookshop no baseline exceeds the best possible metrics, and the oracle reaches them."""

from dataclasses import replace

import pytest
from support.writers import TIGER_SETTINGS, WRITER

from reckon.baselines import RANKING_BASELINES
from reckon.baselines.generative import bigrec, d3
from reckon.baselines.oracle import Oracle
from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.data import Dataset
from reckon.metrics import RankingResult, metric_interval, metric_values
from reckon.simulation.bookshop import best_possible, shop_of, write_bookshop

METRICS = ("hit@5", "ndcg@5")
BETTER_THAN_POPULARITY = ("item-knn", "ease", "als", "hybrid", "sasrec", "gru4rec")
QUICK = {
    **{
        b.NAME: b.CONFIG(epochs=1, width=32, max_length=10, learning_rate=1e-2)
        for b in SequenceBaseline.__subclasses__()
    },
    "tiger": replace(TIGER_SETTINGS, max_epochs=2),
    "bigrec": bigrec.BIGRecConfig(**WRITER | {"max_epochs": 1}),
    "d3": d3.D3Config(**WRITER | {"max_epochs": 1}, assistant="item-knn", beam=8),
}
UNTIMED = [
    name for name in RANKING_BASELINES if name != "recent-popularity"
]  # which needs times, and the shop has none


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "data"
    write_bookshop(path, train_readers=150, valid_readers=60, test_readers=400, notes=1)
    return Dataset.load(path)


@pytest.fixture(scope="module")
def best(shop):
    return best_possible(shop_of(shop)[0], shop.examples("test"), shop_of(shop)[1], cutoffs=(5,))


@pytest.fixture(scope="module")
def result(shop):
    """Ranks of the test rows, by baseline; each is fitted once."""
    results, examples = {}, shop.examples("test")

    def get(baseline):
        if baseline.NAME not in results:
            ranks = baseline.fit(shop, QUICK.get(baseline.NAME), seed=0).ranks(examples, 1).ranks
            results[baseline.NAME] = RankingResult(baseline.NAME, ranks, len(shop.catalog), user_ids=examples.user_ids)
        return results[baseline.NAME]

    return get


def test_the_oracle_has_the_best_possible_metrics(result, best):
    found = result(Oracle)
    for metric in METRICS:
        interval = metric_interval(found, metric)
        assert interval.lo <= best[metric] <= interval.hi


@pytest.mark.parametrize("name", UNTIMED)
def test_every_baseline_lies_below_the_best_possible(name, result, best):
    found = result(RANKING_BASELINES[name])
    for metric in METRICS:
        assert metric_values(found, metric).mean() < best[metric]


@pytest.mark.parametrize("name", BETTER_THAN_POPULARITY)
def test_reading_the_history_beats_popularity(name, result):
    popular = result(RANKING_BASELINES["popularity"])
    found = result(RANKING_BASELINES[name])
    assert metric_values(found, "ndcg@5").mean() > 1.5 * metric_values(popular, "ndcg@5").mean()
