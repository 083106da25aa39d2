"""Coordinate ascent finds the best weights on validation rows; a length gets its own only where they hold."""

import pytest
import torch

from reckon.baselines.classical.hybrid import standardised
from reckon.baselines.fusion.weights import HIGHEST, Candidates, best_weights, length_group, weights_by_length
from reckon.metrics.ranking import rank_values
from reckon.models.scoring import block_ranks

ROWS, ITEMS = 600, 150


def parts_of(seed, strengths):
    """[M, n, I] standardised noise; where member m's strength is s, its target's score is raised by s. And targets."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(len(strengths), ROWS, ITEMS, generator=generator)
    targets = torch.randint(ITEMS, (ROWS,), generator=generator)
    strengths = torch.as_tensor(strengths, dtype=torch.float32)
    strengths = strengths[:, None].expand(-1, ROWS) if strengths.ndim == 1 else strengths
    parts.scatter_add_(2, targets.expand(len(parts), -1)[..., None], strengths[..., None])
    return torch.stack([standardised(part) for part in parts]), targets


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.3, 2.0], [1.0, 1.0]])
def test_the_metric_of_the_candidates_is_that_of_the_whole_catalog(weights):
    parts, targets = parts_of(0, [2.0, 1.0])
    seen = [[int(target), 3] if row % 7 == 0 else [row % ITEMS] for row, target in enumerate(targets)]
    found = Candidates.of_block(parts, targets, seen).metric(torch.tensor(weights))
    scores = torch.einsum("m,mni->ni", torch.tensor(weights), parts)
    for row, hidden in enumerate(seen):
        scores[row, hidden] = -torch.inf
    expected = rank_values(block_ranks(scores, targets).numpy(), "ndcg@10", ITEMS).mean()
    assert HIGHEST < ITEMS and found == pytest.approx(expected, abs=1e-12)


def test_a_member_that_knows_nothing_gets_no_weight_and_the_better_one_the_higher():
    parts, targets = parts_of(1, [2.5, 1.5, 0.0])
    candidates = Candidates.of_block(parts, targets, None)
    weights = best_weights(candidates)
    assert weights[0] > weights[1] > 0 and weights[2] <= 0.1 * weights[0]
    alone = [candidates.metric(one) for one in torch.eye(3)]
    assert candidates.metric(weights) > max(alone)


def test_lengths_get_weights_of_their_own_where_another_member_is_right_for_them():
    lengths = torch.arange(ROWS) % 2 * 10 + 1  # 1 or 11 events
    short = lengths == 1
    strengths = torch.stack([torch.where(short, 3.0, 0.0), torch.where(short, 0.0, 3.0)])
    parts, targets = parts_of(2, strengths)
    candidates = Candidates.of_block(parts, targets, None)
    overall = best_weights(candidates)
    weights = weights_by_length(candidates, lengths, overall)
    assert weights[0, 0] > weights[0, 1] and weights[2, 1] > weights[2, 0]
    assert torch.equal(weights[1], overall)  # no row has 3 to 5 events


def test_lengths_that_differ_by_chance_keep_the_weights_of_all():
    """Chosen on half of the rows, weights of their own are not better on the other half."""
    kept = 0
    for seed in range(3, 8):
        parts, targets = parts_of(seed, [2.0, 2.0])
        candidates = Candidates.of_block(parts, targets, None)
        overall = torch.ones(2)  # the truth
        kept += torch.equal(weights_by_length(candidates, torch.full((ROWS,), 4), overall)[1], overall)
    assert kept >= 3


def test_lengths_fall_into_three_groups():
    assert length_group(torch.tensor([0, 1, 2, 3, 5, 6, 50])).tolist() == [0, 0, 0, 1, 1, 2, 2]
