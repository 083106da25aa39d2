"""The trie of token sequences and its beam search, compared with sums over all sequences."""

import itertools

import pytest
import torch

from reckon.baselines.generative.token_trie import Prior, TokenTrie, beam_search
from reckon.errors import DataError

SEQUENCES = [(2, 3, 1), (2, 3, 4, 1), (5, 1), (2, 6, 7, 8, 1), (5, 1), (2, 6, 7, 9, 1)]  # items 2 and 4 are alike
LEAVES = [{0}, {1}, {2, 4}, {3}, {5}]
VOCABULARY = 10


def next_logits(users, prefixes, lengths):
    """A model that looks at the user, at how much is written, and at the last token."""
    last = prefixes.gather(2, (lengths - 1).clamp_min(0)[..., None])[..., 0] if prefixes.shape[2] else lengths
    seed = users[:, None] * 31 + lengths * 7 + last
    return torch.sin(seed[..., None] * 1.7 + torch.arange(VOCABULARY) * 2.3) * 2


def share(user, prefix, tokens, token):
    """log p of a token after a prefix, among the tokens that go on to an item."""
    padded = torch.tensor([[list(prefix)]], dtype=torch.long).view(1, 1, len(prefix))
    logits = next_logits(torch.tensor([user]), padded, torch.tensor([[len(prefix)]]))[0, 0]
    return float(logits[token] - logits[list(tokens)].logsumexp(0))


def by_hand(user, sequence):
    """Log-probability of a sequence, token by token."""
    total = 0.0
    for place, token in enumerate(sequence):
        prefix = sequence[:place]
        tokens = {other[place] for other in SEQUENCES if other[:place] == prefix}
        total += share(user, prefix, tokens, token)
    return total


def items_under(trie, node):
    return set(trie.order[trie.first[node] : trie.last[node]].tolist())


def found(nodes, scores, trie):
    return [{frozenset(items_under(trie, node)): score for node, score in zip(*row, strict=True) if node >= 0}
            for row in zip(nodes.tolist(), scores.tolist(), strict=True)]  # fmt: skip


def test_the_leaves_hold_every_item_once():
    trie = TokenTrie.of(SEQUENCES)
    leaves = [node for node in range(len(trie.first)) if trie.fan_out(torch.tensor(node)) == 0]
    assert sorted(map(sorted, (items_under(trie, leaf) for leaf in leaves))) == sorted(map(sorted, LEAVES))


def test_a_search_as_wide_as_the_catalog_gives_the_token_by_token_scores():
    trie = TokenTrie.of(SEQUENCES)
    for user, row in enumerate(found(*beam_search(trie, next_logits, 3, 9), trie)):
        assert len(row) == len(LEAVES)
        for items, score in row.items():
            assert score == pytest.approx(by_hand(user, SEQUENCES[min(items)]), abs=1e-5)


def test_the_probabilities_of_all_leaves_sum_to_one():
    _, scores = beam_search(TokenTrie.of(SEQUENCES), next_logits, 3, 9)
    assert scores.exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)


def test_a_narrow_beam_gives_its_leaves_the_same_scores():
    trie = TokenTrie.of(SEQUENCES)
    wide = found(*beam_search(trie, next_logits, 4, 9), trie)
    for user, row in enumerate(found(*beam_search(trie, next_logits, 4, 2), trie)):
        assert len(row) == 2
        assert all(score == pytest.approx(wide[user][items], abs=1e-5) for items, score in row.items())


@pytest.mark.parametrize("hidden", [(0,), (2,), (2, 4), (0, 1, 3, 5), (0, 1, 2, 4)])
def test_excluded_items_take_no_place_in_the_beam_and_change_no_score(hidden):
    trie, allowed = TokenTrie.of(SEQUENCES), torch.ones(2, len(SEQUENCES), dtype=torch.bool)
    allowed[:, list(hidden)] = False
    left = [leaf for leaf in LEAVES if leaf - set(hidden)]
    wide = found(*beam_search(trie, next_logits, 2, 9), trie)
    for width in (1, 2, 9):
        for user, row in enumerate(found(*beam_search(trie, next_logits, 2, width, allowed=allowed), trie)):
            assert len(row) == min(width, len(left)) and all(set(items) in left for items in row)
            assert all(score == pytest.approx(wide[user][items], abs=1e-5) for items, score in row.items())


def test_a_search_does_not_depend_on_the_other_users():
    trie = TokenTrie.of(SEQUENCES)
    together = beam_search(trie, next_logits, 3, 2)

    def second_alone(users, prefixes, lengths):
        return next_logits(users + 1, prefixes, lengths)

    alone = beam_search(trie, second_alone, 1, 2)
    assert together[0][1].tolist() == alone[0][0].tolist()
    torch.testing.assert_close(together[1][1], alone[1][0])


def test_a_prior_of_weight_one_gives_each_leaf_its_prior_probability():
    trie = TokenTrie.of(SEQUENCES)
    probabilities = torch.tensor([[0.1, 0.2, 0.05, 0.3, 0.15, 0.2]], dtype=torch.float64)
    (row,) = found(*beam_search(trie, next_logits, 1, 9, prior=Prior(probabilities, 1.0)), trie)
    for items, score in row.items():
        assert score == pytest.approx(float(probabilities[0, list(items)].sum().log()), abs=1e-5)


def test_model_and_prior_are_mixed_by_weight():
    trie, probabilities = TokenTrie.of(SEQUENCES), torch.full((1, 6), 1 / 6, dtype=torch.float64)
    plain, prior, mixed = (
        found(*beam_search(trie, next_logits, 1, 9, prior=Prior(probabilities, weight)), trie)[0]
        for weight in (0.0, 1.0, 0.3)
    )
    for items, score in mixed.items():
        assert score == pytest.approx(0.7 * plain[items] + 0.3 * prior[items], abs=1e-5)


def test_the_model_is_called_only_at_branchings():
    asked = []

    def counting(users, prefixes, lengths):
        asked.extend(tuple(row[:n].tolist()) for row, n in zip(prefixes[0], lengths[0].tolist(), strict=True))
        return next_logits(users, prefixes, lengths)

    beam_search(TokenTrie.of(SEQUENCES), counting, 1, 9)
    assert sorted(asked) == [(), (2,), (2, 3), (2, 6, 7)]


def test_a_trie_of_one_sequence_needs_no_model_call():
    nodes, scores = beam_search(TokenTrie.of([(1, 2)] * 3), None, 2, 2)
    assert nodes.tolist() == [[0, -1]] * 2 and scores[:, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("sequences", [[], [(1, 2), (1, 2, 3)]])
def test_a_sequence_that_is_a_prefix_of_another_is_refused(sequences):
    with pytest.raises(DataError, match="sequence"):
        TokenTrie.of(sequences)


def test_the_order_of_items_does_not_change_their_scores():
    for shuffled in itertools.islice(itertools.permutations(range(len(SEQUENCES))), 0, 720, 101):
        trie = TokenTrie.of([SEQUENCES[item] for item in shuffled])
        (row,) = found(*beam_search(trie, next_logits, 1, 9), trie)
        for items, score in row.items():
            assert score == pytest.approx(by_hand(0, SEQUENCES[shuffled[min(items)]]), abs=1e-5)
