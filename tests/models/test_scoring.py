"""Blockwise scoring equals the full matrix, with the rules for ties, exclusions and NaN."""

import numpy as np
import pytest
import torch

from reckon.errors import DataError, ShapeError
from reckon.models import scoring
from reckon.models.scoring import ranks_and_top_k, target_ranks, top_k

USERS, ITEMS, WIDTH = 23, 17, 5


def inputs(seed=0):
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(n, WIDTH, generator=generator) for n in (USERS, ITEMS))
    bias = torch.randn(ITEMS, generator=generator)
    exclude = [torch.randperm(ITEMS, generator=generator)[: row % 5].numpy() for row in range(USERS)]
    return users, items, bias, exclude


def full_matrix(users, items, bias, exclude):
    scores = (users @ items.T).double().numpy()
    if bias is not None:
        scores = scores + bias.double().numpy()
    for row, hidden in enumerate(exclude or []):
        scores[row, hidden] = -np.inf
    return scores


@pytest.fixture(params=[1, 40, 1 << 24], ids=["one user at once", "two users at once", "one block"])
def block(request, monkeypatch):
    monkeypatch.setattr(scoring, "SCORES_AT_ONCE", request.param)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_exclusion", [False, True])
def test_top_k_equals_a_sort_of_the_full_matrix(block, with_bias, with_exclusion):
    users, items, bias, exclude = inputs()
    bias, exclude = bias if with_bias else None, exclude if with_exclusion else None
    scores = full_matrix(users, items, bias, exclude)
    indices, values = top_k(users, items, 6, bias=bias, exclude=exclude)
    order = np.argsort(-scores, axis=1)[:, :6]
    assert np.array_equal(indices.numpy(), order)
    np.testing.assert_allclose(values.numpy(), np.take_along_axis(scores, order, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("with_exclusion", [False, True])
def test_target_ranks_count_the_items_before_the_target(block, with_bias, with_exclusion):
    users, items, bias, exclude = inputs()
    bias, exclude = bias if with_bias else None, exclude if with_exclusion else None
    scores = full_matrix(users, items, bias, exclude)
    targets = torch.arange(USERS) % ITEMS
    expected = [
        ITEMS + 1 if np.isneginf(own) else int((row >= own).sum())
        for row, own in zip(scores, scores[range(USERS), targets], strict=True)
    ]
    assert target_ranks(users, items, targets, bias=bias, exclude=exclude).tolist() == expected


def test_the_rank_is_the_targets_place_in_the_list():
    users, items, _, exclude = inputs()
    listed = top_k(users, items, ITEMS, exclude=exclude)[0]
    for place in (0, 4, 11):
        assert target_ranks(users, items, listed[:, place], exclude=exclude).eq(place + 1).all()


def test_ranks_and_lists_of_one_scoring_are_those_of_two(block):
    users, items, bias, exclude = inputs()
    targets = torch.arange(USERS) % ITEMS
    ranks, listed = ranks_and_top_k(users, items, targets, 6, bias=bias, exclude=exclude)
    assert torch.equal(ranks, target_ranks(users, items, targets, bias=bias, exclude=exclude))
    assert torch.equal(listed, top_k(users, items, 6, bias=bias, exclude=exclude)[0])
    assert ranks_and_top_k(users, items, targets, 100)[1].shape == (USERS, ITEMS)


def test_excluded_items_never_appear_and_leave_a_gap(block):
    users, items, _, _ = inputs()
    exclude = [np.arange(ITEMS - 2)] * USERS
    indices, values = top_k(users, items, 5, exclude=exclude)
    assert indices[:, 2:].eq(-1).all() and values[:, 2:].isneginf().all()
    assert {*indices[:, :2].flatten().tolist()} == {ITEMS - 2, ITEMS - 1}


def test_an_excluded_target_cannot_be_found():
    users, items, _, _ = inputs()
    assert target_ranks(users, items, torch.full((USERS,), 3), exclude=[np.array([3])] * USERS).eq(ITEMS + 1).all()


def test_a_target_ties_behind_every_item_with_its_score():
    users, items = torch.ones(1, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    assert [target_ranks(users, items, torch.tensor([target])).item() for target in range(4)] == [3, 3, 3, 4]


def test_a_model_whose_scores_are_all_equal_ranks_every_target_last():
    ranks = target_ranks(torch.zeros(USERS, WIDTH), torch.ones(ITEMS, WIDTH), torch.arange(USERS) % ITEMS)
    assert ranks.eq(ITEMS).all()


def test_more_items_than_there_are_give_the_whole_catalog():
    users, items, _, _ = inputs()
    assert top_k(users, items, 100)[0].sort(dim=1).values.eq(torch.arange(ITEMS)).all()


@pytest.mark.parametrize("where", ["users", "items"])
def test_nan_scores_are_refused(block, where):
    users, items, _, exclude = inputs()
    (users if where == "users" else items)[-1, 0] = torch.nan
    for call in (
        lambda: top_k(users, items, 3, exclude=exclude),
        lambda: target_ranks(users, items, torch.zeros(USERS, dtype=torch.long), exclude=exclude),
        lambda: ranks_and_top_k(users, items, torch.zeros(USERS, dtype=torch.long), 3, exclude=exclude),
    ):
        with pytest.raises(DataError, match="NaN"):
            call()


def test_another_width_is_refused():
    with pytest.raises(ShapeError, match="users"):
        top_k(torch.zeros(2, 3), torch.zeros(4, 5), 1)


def test_no_users_give_no_rows():
    users, items = torch.zeros(0, WIDTH), torch.zeros(ITEMS, WIDTH)
    assert top_k(users, items, 3)[0].shape == (0, 3)
    assert target_ranks(users, items, torch.zeros(0, dtype=torch.long)).shape == (0,)
