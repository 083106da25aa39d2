"""TIGER predicts the next item, and writes only ids of the catalog."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import shelf
from support.writers import TIGER_SETTINGS
from torch.nn.functional import log_softmax
from transformers.modeling_outputs import BaseModelOutput

from reckon.baselines import TIGER, Popularity
from reckon.baselines.generative.semantic_ids import PAD
from reckon.errors import ConfigError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", users=36, length=8)


@pytest.fixture(scope="module")
def tiger(data):
    settings = replace(TIGER_SETTINGS, max_epochs=15, patience=15, window=3, learning_rate=1e-2, batch_size=16)
    return TIGER.fit(data, settings, exclude_seen=False, seed=0)


def ndcg(baseline, data):
    ranks = baseline.ranks(data.examples("test")).ranks
    return float(((ranks <= 10) / np.log2(ranks + 1)).mean())


def test_it_predicts_the_next_item_far_better_than_popularity(tiger, data):
    assert ndcg(tiger, data) > 0.6 > 1.5 * ndcg(Popularity.fit(data, exclude_seen=False), data)


def test_scores_are_the_log_probabilities_of_whole_ids_among_all_ids(tiger):
    """Against one teacher-forced pass for each item, renormalised over existing beginnings by hand."""
    history = np.array([3, 4, 5])
    inputs, mask = tiger._read([history])
    with torch.no_grad():
        states = tiger.model.encoder(input_ids=inputs, attention_mask=mask).last_hidden_state
    by_hand = []
    for item in range(len(tiger.catalog)):
        own = tiger.tokens[item]
        with torch.no_grad():
            logits = tiger.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=torch.cat([torch.tensor([PAD]), own[:-1]])[None],
            ).logits[0]
        total = 0.0
        for place, token in enumerate(own.tolist()):
            begins_alike = (tiger.tokens[:, :place] == own[:place]).all(dim=1)
            possible = tiger.tokens[begins_alike, place].unique()
            total += float(log_softmax(logits[place, possible], 0)[(possible == token).nonzero()[0, 0]])
        by_hand.append(total)
    assert tiger.scores([history])[0].tolist() == pytest.approx(by_hand, abs=1e-4)


def test_a_beam_as_wide_as_the_catalog_ranks_by_the_scores(tiger, data):
    examples = data.examples("test")
    scores = tiger.scores([examples.history(row) for row in range(len(examples))])
    own = scores.gather(1, torch.from_numpy(examples.targets.astype(np.int64))[:, None])
    assert tiger.ranks(examples).ranks.tolist() == (scores >= own).sum(dim=1).tolist()


def test_a_target_outside_the_beam_is_a_miss(data, tiger):
    narrow = TIGER(data.catalog, replace(tiger.config, beam=1), False, tiger.ids, tiger.model)
    ranks = narrow.ranks(data.examples("test"), 1).ranks
    assert set(ranks.tolist()) <= {1, len(data.catalog) + 1} and len(data.catalog) + 1 in ranks


def test_a_narrow_beam_holds_only_unseen_items(data, tiger):
    narrow = TIGER(data.catalog, replace(tiger.config, beam=2), True, tiger.ids, tiger.model)
    history = list(range(9))
    (answer,) = narrow.recommend([history], 2)
    assert len(answer.items) == 2 and not set(answer.items) & set(history)


def test_scores_do_not_depend_on_the_batch(tiger):
    together = tiger.scores([np.array([1]), np.array([2, 3, 4, 5])])
    torch.testing.assert_close(together[:1], tiger.scores([np.array([1])]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("field", ["beam", "window", "learning_rate", "dropout", "hidden_size"])
def test_settings_out_of_range_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=f"{field} = -1"):
        replace(TIGER_SETTINGS, **{field: -1})
