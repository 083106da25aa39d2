"""D3's decoding: no division by length, an assistant without text, and only titles of the catalog."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support import shelf
from support.writers import WRITER

from reckon.baselines import D3, Popularity
from reckon.baselines.generative.d3 import D3Config
from reckon.baselines.generative.title_writer import TitleWriter
from reckon.baselines.generative.token_trie import TokenTrie, beam_search
from reckon.errors import ConfigError

CONFIG = D3Config(**WRITER | {"max_epochs": 12, "patience": 12})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", users=36, length=8)


@pytest.fixture(scope="module")
def writer(data):
    return TitleWriter.fit(data, CONFIG, seed=0)


def d3(data, writer, helper=None, exclude_seen=False, **changes):
    return D3(data.catalog, replace(CONFIG, **changes), exclude_seen, writer, helper)


def test_ghost_tokens_do_not_change_the_score_of_a_title():
    """`Red` (0) against `Blue and then some` (1 to 4): after `Blue` all tokens are certain, so its score is that of
    `Blue`."""
    end = 9
    trie = TokenTrie.of([(0, end), (1, 2, 3, 4, end)])
    probabilities = torch.tensor([0.6, 0.4])

    def next_logits(users, prefixes, lengths):
        logits = torch.full((len(users), prefixes.shape[1], 10), -100.0)
        logits[..., :2] = probabilities.log()
        return logits

    nodes, scores = beam_search(trie, next_logits, 1, 2)
    assert [trie.order[trie.first[node]].item() for node in nodes[0]] == [0, 1]
    assert scores[0].tolist() == pytest.approx(probabilities.log().tolist())
    # Divided by length, as usual, the worse title would win: log 0.6 / 2 tokens against log 0.4 / 5 tokens.
    assert scores[0, 0] / 2 < scores[0, 1] / 5


def test_a_title_that_is_a_prefix_of_another_has_its_own_score(data, writer):
    ends = {tokens[-1] for tokens in writer.title_tokens}
    assert ends == {writer.backbone.tokenizer.eos_token_id}


def test_scores_are_the_writers_log_probabilities_among_titles(data, writer):
    """Against one plain forward pass for each title, renormalised over existing beginnings by hand."""
    history, by_hand = np.array([2, 3, 4]), []
    (prompt,) = writer.prompts([history])
    for own in writer.title_tokens:
        with torch.no_grad():
            logits = writer.backbone.causal_lm(input_ids=torch.tensor([prompt + own])).logits[0]
        total = 0.0
        for place, token in enumerate(own):
            possible = sorted({other[place] for other in writer.title_tokens if other[:place] == own[:place]})
            shares = logits[len(prompt) - 1 + place, possible].log_softmax(0)
            total += float(shares[possible.index(token)])
        by_hand.append(total)
    assert d3(data, writer).scores([history])[0].tolist() == pytest.approx(by_hand, abs=1e-3)


def test_it_predicts_the_next_item_far_better_than_popularity(data, writer):
    examples = data.examples("test")
    ranks = d3(data, writer).ranks(examples).ranks
    assert (ranks == 1).mean() > 0.5 > 3 * (Popularity.fit(data, exclude_seen=False).ranks(examples).ranks == 1).mean()


def test_an_assistant_of_weight_zero_changes_no_score(data, writer):
    assistant = Popularity.fit(data)
    alone, helped = d3(data, writer), d3(data, writer, assistant, assistant_weight=0.0)
    assert alone.recommend([[0], [3, 4]], 12) == helped.recommend([[0], [3, 4]], 12)


def test_an_assistant_of_weight_one_alone_decides_the_scores(data, writer):
    assistant = Popularity(data.catalog, np.arange(12)[::-1].copy())
    answers = d3(data, writer, assistant, assistant_weight=1.0).recommend([[0], [3, 4]], 12)
    assert [answer.items for answer in answers] == [list(range(12))] * 2
    expected = assistant.scores([[0]])[0].double().log_softmax(0).tolist()
    assert answers[0].scores == pytest.approx(expected, abs=1e-4)


def test_a_beam_as_wide_as_the_catalog_ranks_by_the_scores(data, writer):
    examples, baseline = data.examples("test"), d3(data, writer)
    scores = baseline.scores([examples.history(row) for row in range(len(examples))])
    own = scores.gather(1, torch.from_numpy(examples.targets.astype(np.int64))[:, None])
    assert baseline.ranks(examples).ranks.tolist() == (scores >= own).sum(dim=1).tolist()


def test_items_that_share_a_title_share_its_score(data, writer, monkeypatch):
    twins = D3(data.catalog, CONFIG, False, writer, None)
    twins.trie = TokenTrie.of([writer.title_tokens[item if item != 7 else 3] for item in range(12)])
    scores = twins.scores([np.array([2])])[0]
    assert scores[7] == scores[3]
    assert twins.recommend([[2]], 12)[0].items.index(3) + 1 == twins.recommend([[2]], 12)[0].items.index(7)


def test_a_narrow_beam_holds_only_unseen_items(data, writer):
    history = list(range(9))
    (answer,) = d3(data, writer, exclude_seen=True, beam=2).recommend([history], 2)
    assert len(answer.items) == 2 and not set(answer.items) & set(history)


@pytest.mark.parametrize("name", ["d3", "nobody"])
def test_an_unknown_assistant_is_refused_before_training(data, name):
    with pytest.raises(ConfigError, match="assistant = "):
        D3.fit(data, replace(CONFIG, assistant=name))


@pytest.mark.parametrize(("field", "value"), [("assistant_weight", 1.5), ("assistant_weight", -0.1), ("beam", 0)])
def test_settings_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f"{field} = "):
        replace(CONFIG, **{field: value})
