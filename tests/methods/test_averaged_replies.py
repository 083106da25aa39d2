"""The scores of several sampled replies to a history are averaged, for every method that reasons and ranks."""

import pytest
import torch
from support import rporec_talker, shelf

from reckon.errors import ConfigError
from reckon.methods.reading import Reading

SAMPLES = 5
BUILDERS = {"r2ec": (shelf, "full"), "rporec": (rporec_talker, "full")}
SILENT = {"r2ec": (shelf, "no-reasoning"), "rporec": (rporec_talker, "history-only")}


@pytest.fixture(scope="module", params=list(BUILDERS))
def method(request):
    return request.param


@pytest.fixture(scope="module")
def built(method, tmp_path_factory):
    builder, arm = BUILDERS[method]
    return builder.recommender(tmp_path_factory.mktemp(method), arm)


def test_the_score_of_an_item_is_the_mean_of_its_scores(built):
    model, data = built
    examples = [data.examples("test", model.prompt.window)[row] for row in range(3)]
    generator = torch.Generator().manual_seed(model.config.seed)
    single = model.sampled_readings(examples, SAMPLES, generator)
    scores = torch.stack([one.queries @ model.table.vectors.T for one in single]).mean(dim=0)
    averaged = model.averaging(SAMPLES).averaged_reading(examples)
    torch.testing.assert_close(averaged.queries @ model.table.vectors.T, scores, rtol=1e-4, atol=1e-4)
    assert averaged.lengths == [sum(one.lengths[row] for one in single) for row in range(3)]
    assert len({tuple(one.reasonings) for one in single}) > 1  # replies differ


def test_ranks_follow_from_the_averaged_scores_and_the_model_stays_greedy(built):
    model, data = built
    examples = data.examples("test", model.prompt.window)
    twice = [model.averaging(SAMPLES).ranks(examples, 3).ranks.tolist() for _ in range(2)]
    assert twice[0] == twice[1]  # the draws follow from the seed
    assert model.samples == 1
    assert model.ranks(examples, 3).lengths.sum() < model.averaging(SAMPLES).ranks(examples, 3).lengths.sum()


@pytest.mark.parametrize("samples", [0, 1])
def test_a_mean_of_fewer_than_two_is_refused(built, samples):
    with pytest.raises(ConfigError, match="samples"):
        built[0].averaging(samples)


def test_a_model_that_writes_nothing_has_nothing_to_average(method, tmp_path):
    builder, arm = SILENT[method]
    with pytest.raises(ConfigError, match="reasons"):
        builder.recommender(tmp_path, arm)[0].averaging(4)


def test_one_bad_reply_of_several_is_told():
    one = Reading(torch.zeros(2, 3), ["a", "b"], [False, False], [4, 5], [True, True])
    other = Reading(torch.ones(2, 3), ["c", "d"], [True, False], [6, 7], [True, False])
    mean = Reading.mean([one, other])
    assert mean.queries.eq(0.5).all() and mean.reasonings == ["a", "b"]
    assert (mean.truncated, mean.lengths, mean.parsed) == ([True, False], [10, 12], [True, False])
