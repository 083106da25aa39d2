"""One contract for every recommender: `recommend`, `ranks` and storage."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from support import rporec_talker, shelf
from support.writers import TIGER_SETTINGS, WRITER

from reckon.baselines import RANKING_BASELINES, Baseline
from reckon.baselines.generative import bigrec, d3
from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.data import Catalog
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.methods.ranking_model import RankingModel

METHODS = {
    "r2ec": (shelf, "full"),
    "no-reasoning": (shelf, "no-reasoning"),
    "rporec": (rporec_talker, "full"),
    "history-only": (rporec_talker, "history-only"),
}
RECOMMENDERS = [*RANKING_BASELINES, *METHODS]
HISTORIES = [[0, 1, 2], [5], [3, 7, 7], [11, 2, 4, 6, 8]]
MORE = 10**6  # items than any catalog here has
TINY = {  # settings of baselines whose own would train for more than a second here
    **{baseline.NAME: baseline.CONFIG(epochs=1, width=16) for baseline in SequenceBaseline.__subclasses__()},
    "tiger": TIGER_SETTINGS,
    "bigrec": bigrec.BIGRecConfig(**WRITER),
    "d3": d3.D3Config(**WRITER, assistant="popularity"),
}


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Nothing here has to be learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reckon.baselines.sequential.sequences.STEPS_PER_ROUND", 5)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(scope="module")
def recommender_of(data, tmp_path_factory):
    """Recommenders by name, each fitted once."""
    fitted = {}

    def get(name):
        if name not in fitted:
            fitted[name] = fresh(name, data, tmp_path_factory.mktemp(name))
        return fitted[name]

    return get


def fresh(name, data, path):
    if name in RANKING_BASELINES:
        return RANKING_BASELINES[name].fit(data, TINY.get(name), seed=1)
    builder, arm = METHODS[name]
    return builder.recommender(path, arm)[0]


@pytest.fixture(params=RECOMMENDERS)
def recommender(request, recommender_of):
    return recommender_of(request.param)


def test_scores_never_rise_along_a_list(recommender):
    for answer in recommender.recommend(HISTORIES, MORE):
        assert all(ahead >= behind for ahead, behind in pairwise(answer.scores))


def test_a_list_names_each_item_once_with_its_id(recommender):
    for answer in recommender.recommend(HISTORIES, MORE):
        assert len(set(answer.items)) == len(answer.items) == len(answer.scores)
        assert answer.item_ids == [recommender.catalog.ids[item] for item in answer.items]


@pytest.mark.parametrize("k", [1, 3])
def test_a_list_has_k_items(recommender, k):
    assert [len(answer.items) for answer in recommender.recommend(HISTORIES, k)] == [k] * len(HISTORIES)


def test_a_shorter_list_begins_a_longer_one(recommender):
    for short, long in zip(recommender.recommend(HISTORIES, 2), recommender.recommend(HISTORIES, 5), strict=True):
        assert np.allclose(short.scores, long.scores[:2], atol=1e-5)


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_of_less_than_one_item_is_refused(recommender, k):
    with pytest.raises(ConfigError, match="k = "):
        recommender.recommend([[0]], k)


def test_exclude_seen_never_returns_the_history(recommender):
    for history, answer in zip(HISTORIES, recommender.recommend(HISTORIES, MORE, exclude_seen=True), strict=True):
        assert not set(history) & set(answer.items)


def test_all_items_of_a_long_history_are_excluded(recommender):
    history = list(range(8))  # methods read its last three
    assert not set(recommender.recommend([history], MORE, exclude_seen=True)[0].items) & set(history)


def test_without_exclusion_items_of_the_history_may_be_recommended(recommender):
    answers = recommender.recommend(HISTORIES, MORE, exclude_seen=False)
    assert all(len(answer.items) <= len(recommender.catalog) for answer in answers)
    assert any(set(history) & set(answer.items) for history, answer in zip(HISTORIES, answers, strict=True))


@pytest.mark.parametrize("item", [-1, MORE])
def test_an_unknown_item_is_refused_by_name(recommender, item):
    with pytest.raises(DataError, match=f"history item {item}"):
        recommender.recommend([[0, item]])


def test_a_user_without_history_gets_a_list(recommender):
    assert recommender.recommend([[]], 3)[0].items


def test_no_users_get_no_lists(recommender):
    assert recommender.recommend([]) == []


def test_a_list_does_not_depend_on_the_other_users(recommender):
    together = recommender.recommend(HISTORIES, 5)
    for history, answer in zip(HISTORIES, together, strict=True):
        alone = recommender.recommend([history], 5)[0]
        assert (alone.items, alone.reasoning) == (answer.items, answer.reasoning)
        assert np.allclose(alone.scores, answer.scores, atol=1e-3)


def test_histories_may_be_arrays(recommender):
    assert recommender.recommend([np.array([0, 5, 3], dtype=np.int32)]) == recommender.recommend([[0, 5, 3]])


def test_the_same_call_gives_the_same_lists(recommender):
    assert recommender.recommend(HISTORIES) == recommender.recommend(HISTORIES)


def test_ranks_agree_with_lists(recommender, data):
    examples = data.examples("test", 3)
    ranked = recommender.ranks(examples, 5)
    assert ((ranked.ranks >= 1) & (ranked.ranks <= len(data.catalog) + 1)).all()
    for row, target in enumerate(examples.targets):
        listed = ranked.items[row].tolist()
        assert target not in listed or listed.index(target) < ranked.ranks[row]  # a target ties behind its equals
        assert not set(listed) & set(examples.seen(row).tolist())


@pytest.mark.parametrize("name", RANKING_BASELINES)
def test_the_same_seed_gives_the_same_baseline(name, recommender_of, data, tmp_path):
    again = fresh(name, data, tmp_path)
    assert again.recommend(HISTORIES, 5) == recommender_of(name).recommend(HISTORIES, 5)


@pytest.mark.parametrize("name", RANKING_BASELINES)
def test_settings_of_another_class_are_refused(name, data):
    with pytest.raises(ConfigError, match=RANKING_BASELINES[name].CONFIG.__name__):
        RANKING_BASELINES[name].fit(data, True)  # meant as exclude_seen, say


@pytest.mark.parametrize("name", RANKING_BASELINES)
def test_a_saved_baseline_recommends_the_same(name, recommender_of, data, tmp_path):
    fitted = recommender_of(name)
    fitted.save_pretrained(tmp_path)
    loaded = type(fitted).from_pretrained(tmp_path, data.catalog)
    assert loaded.recommend(HISTORIES, 5) == fitted.recommend(HISTORIES, 5)
    assert loaded.config == fitted.config and loaded.exclude_seen == fitted.exclude_seen


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_method_recommends_the_same(name, recommender_of, tmp_path):
    fitted = recommender_of(name)
    fitted.save_pretrained(tmp_path)
    for loaded, before in zip(
        type(fitted).from_pretrained(tmp_path).recommend(HISTORIES, 5), fitted.recommend(HISTORIES, 5), strict=True
    ):
        assert loaded.items == before.items


@pytest.mark.parametrize("name", RANKING_BASELINES)
def test_a_baseline_of_another_catalog_is_refused(name, recommender_of, data, tmp_path):
    recommender_of(name).save_pretrained(tmp_path)
    turned = Catalog(data.catalog.table.take(pa.array(range(len(data.catalog))[::-1])))
    with pytest.raises(CheckpointError, match="another catalog"):
        RANKING_BASELINES[name].from_pretrained(tmp_path, turned)


@pytest.mark.parametrize("damage", ["baseline.json", "tensors.safetensors"])
def test_a_damaged_baseline_is_refused(damage, recommender_of, data, tmp_path):
    recommender_of("popularity").save_pretrained(tmp_path)
    (tmp_path / damage).write_bytes(b"{")
    with pytest.raises(CheckpointError, match=r"is not a saved baseline|is damaged"):
        RANKING_BASELINES["popularity"].from_pretrained(tmp_path, data.catalog)


def test_every_recommender_is_a_baseline_or_a_ranking_model(recommender):
    assert isinstance(recommender, Baseline | RankingModel)
