"""Advantages: cases worked out by hand, and laws of both estimators."""

import pytest
import torch

from reckon.errors import ConfigError, ShapeError
from reckon.rl.advantages import group_advantages

ESTIMATORS = ("grpo", "rloo")


def rewards(seed=0, prompts=5, group=4):
    return torch.rand(prompts, group, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_grpo_divides_by_the_sample_deviation():
    # mean 2, deviations -1 0 1, sample variance (1 + 0 + 1) / 2 = 1
    torch.testing.assert_close(group_advantages(torch.tensor([[1.0, 2.0, 3.0]])), torch.tensor([[-1.0, 0.0, 1.0]]))


def test_grpo_of_one_winner():
    # mean 1/4, sample variance (9/16 + 3/16) / 3 = 1/4, so 3/4 / (1/2) and -1/4 / (1/2)
    found = group_advantages(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[-0.5, 1.5, -0.5, -0.5]]), rtol=1e-5, atol=0)


def test_rloo_keeps_reward_units():
    # 3 against the mean of 1 and 2; 1 against 2.5; 2 against 2
    found = group_advantages(torch.tensor([[3.0, 1.0, 2.0]]), "rloo")
    torch.testing.assert_close(found, torch.tensor([[1.5, -1.5, 0.0]]))


def test_rloo_is_the_true_leave_one_out():
    """A public release wrote r * (1 + 1/G) - mean, which is not the mean of the others."""
    given = rewards()
    expected = torch.empty_like(given)
    for row in range(given.shape[0]):
        for own in range(given.shape[1]):
            others = [given[row, other] for other in range(given.shape[1]) if other != own]
            expected[row, own] = given[row, own] - sum(others) / len(others)
    found = group_advantages(given, "rloo")
    torch.testing.assert_close(found, expected)
    released = given * (1 + 1 / given.shape[1]) - given.mean(dim=1, keepdim=True)
    assert not torch.allclose(found, released)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_advantages_of_a_group_sum_to_zero(estimator):
    sums = group_advantages(rewards(), estimator).sum(dim=1)
    torch.testing.assert_close(sums, torch.zeros_like(sums), rtol=0, atol=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 0.7, 1e-9, 1 / 3])
def test_advantages_of_a_tied_group_are_zero(estimator, value):
    assert group_advantages(torch.full((1, 8), value), estimator).eq(0).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_tied_group_does_not_change_other_groups(estimator):
    mixed = torch.tensor([[0.7, 0.7, 0.7], [0.0, 0.0, 1.0]])
    found = group_advantages(mixed, estimator)
    assert found[0].eq(0).all()
    assert torch.equal(found[1:], group_advantages(mixed[1:], estimator))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_adding_a_constant_changes_nothing(estimator):
    torch.testing.assert_close(group_advantages(rewards() + 3, estimator), group_advantages(rewards(), estimator))


def test_grpo_ignores_the_unit_of_the_reward():
    torch.testing.assert_close(group_advantages(rewards() * 100), group_advantages(rewards()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8,), (4, 1), (2, 3, 4)])
def test_rewards_that_are_not_groups_are_refused(shape):
    with pytest.raises(ShapeError, match="G >= 2"):
        group_advantages(torch.rand(shape))


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ConfigError, match="grpo or rloo"):
        group_advantages(rewards(), "ppo")
