"""The RecPO loss: its gradient at every log-probability, against finite differences of the paper's formula."""

import math
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from reckon.errors import ConfigError, ShapeError
from reckon.methods.r2ec.config import RecPOConfig
from reckon.methods.r2ec.trainer import RecPOTrainer
from reckon.models.token_batch import TokenBatch
from reckon.rl import policy_trainer
from reckon.rl.advantages import group_advantages
from reckon.rl.grpo import GRPOSettings
from reckon.rl.objective import (
    best_of_group,
    clip_share,
    clipped_gain,
    item_losses,
    token_losses,
    token_weights,
    top_entropy_tokens,
)
from reckon.rl.policy_trainer import PolicySettings
from reckon.rollout import SamplingConfig

EPSILON, EPSILON_HIGH = 0.2, 0.28
GRPO = GRPOSettings(num_generations=4, epsilon=EPSILON, epsilon_high=EPSILON_HIGH)
STEP = 1e-6
GROUPS = {
    "mixed": [[0.1, 0.9, 0.4, 0.3], [0.5, 0.2, 0.8, 0.7]],
    "one winner": [[0.0, 0.0, 1.0, 0.0], [0.3, 0.0, 0.0, 0.0]],
    "tied beside mixed": [[0.7, 0.7, 0.7, 0.7], [0.1, 0.9, 0.4, 0.3]],
    "all tied": [[0.0, 0.0, 0.0, 0.0], [0.7, 0.7, 0.7, 0.7]],
}
# Replies of 6 positions: sampled tokens, then an appended marker (truncated replies), then padding.
LENGTHS = [(6, 0), (3, 0), (4, 2), (1, 0), (2, 1), (6, 0), (5, 1), (3, 2)]  # sampled, appended


def batch(rewards, seed=0):
    """Log-probabilities with ratios on both sides of the clip range, and the mask of what the policy chose."""
    generator = torch.Generator().manual_seed(seed)
    old = -3 * torch.rand(len(LENGTHS), 6, generator=generator, dtype=torch.float64)
    shift = 1.2 * (torch.rand(old.shape, generator=generator, dtype=torch.float64) - 0.5)  # ratios 0.55 .. 1.82
    old_items = -3 * torch.rand(len(LENGTHS), generator=generator, dtype=torch.float64)
    item_shift = 0.3 * (torch.rand(len(LENGTHS), generator=generator, dtype=torch.float64) - 0.5)
    mask = torch.arange(6) < torch.tensor([sampled for sampled, _ in LENGTHS])[:, None]
    return SimpleNamespace(
        rewards=torch.tensor(rewards, dtype=torch.float64),
        mask=mask,
        old=old,
        new=old + shift,
        old_items=old_items,
        new_items=old_items + item_shift,
    )


def gain(ratio, advantage):
    clipped = min(max(ratio, 1 - EPSILON), 1 + EPSILON_HIGH)
    return min(ratio * advantage, clipped * advantage)


def paper_loss(data, new, new_items, best_count=1, estimator="grpo"):
    """-J of ALGORITHMS section 1 step 5, written as loops over plain numbers."""
    total = 0.0
    for row, rewards in enumerate(data.rewards.tolist()):
        size, mean = len(rewards), sum(rewards) / len(rewards)
        if estimator == "rloo":
            advantages = [own - (sum(rewards) - own) / (size - 1) for own in rewards]
        else:
            deviation = math.sqrt(sum((own - mean) ** 2 for own in rewards) / (size - 1))
            advantages = [(own - mean) / (deviation + 1e-6) if deviation > 1e-12 else 0.0 for own in rewards]
        for i, advantage in enumerate(advantages):
            n, sampled = row * size + i, LENGTHS[row * size + i][0]
            tokens = sum(gain(math.exp(new[n][t] - data.old[n, t].item()), advantage) for t in range(sampled))
            total -= tokens / sampled / size / len(data.rewards)
        for i in sorted(range(size), key=lambda i: -advantages[i])[:best_count]:
            ratio = math.exp(new_items[row * size + i] - data.old_items[row * size + i].item())
            total -= gain(ratio, advantages[i]) / len(data.rewards)
    return total


def finite_differences(data, new_items, **options):
    """Central differences of `paper_loss` at every token and item log-probability."""
    new, items = data.new.tolist(), new_items.tolist()
    tokens, recommending = torch.zeros_like(data.new), torch.zeros_like(data.new_items)
    for n in range(len(LENGTHS)):
        for t in range(6):
            values = []
            for sign in (1, -1):
                moved = [list(row) for row in new]
                moved[n][t] += sign * STEP
                values.append(paper_loss(data, moved, items, **options))
            tokens[n, t] = (values[0] - values[1]) / (2 * STEP)
        values = []
        for sign in (1, -1):
            moved = list(items)
            moved[n] += sign * STEP
            values.append(paper_loss(data, new, moved, **options))
        recommending[n] = (values[0] - values[1]) / (2 * STEP)
    return tokens, recommending


def our_gradients(data, best_count=1, estimator="grpo"):
    """Gradients of our losses, put together as the trainer does."""
    new, items = data.new.clone().requires_grad_(), data.new_items.clone().requires_grad_()
    advantages = group_advantages(data.rewards, estimator)
    best = best_of_group(advantages, best_count).flatten()
    tokens = token_losses(new, data.old, token_weights(data.mask), advantages.flatten(), EPSILON, EPSILON_HIGH)
    recommending = item_losses(items, data.old_items, advantages.flatten(), best, EPSILON, EPSILON_HIGH)
    (tokens.sum() / tokens.numel() + recommending.sum() / len(advantages)).backward()
    return new.grad, items.grad


@pytest.mark.parametrize("estimator", ["grpo", "rloo"])
@pytest.mark.parametrize("best_count", [1, 2])
@pytest.mark.parametrize("rewards", GROUPS.values(), ids=GROUPS.keys())
def test_the_gradient_at_every_log_probability_equals_finite_differences(rewards, best_count, estimator):
    data = batch(rewards)
    expected = finite_differences(data, data.new_items, best_count=best_count, estimator=estimator)
    torch.testing.assert_close(our_gradients(data, best_count, estimator), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("best_count", [1, 2])
@pytest.mark.parametrize("rewards", GROUPS.values(), ids=GROUPS.keys())
def test_the_trainers_own_loss_has_the_gradient_of_the_formula(rewards, best_count, monkeypatch):
    """RecPOTrainer with the model taken out: log-probabilities are leaves, everything after them is its own code."""
    data = batch(rewards)
    new, items = data.new.clone().requires_grad_(), data.old_items.clone().requires_grad_()  # r_rec is 1 in the trainer
    rows = torch.arange(len(LENGTHS), dtype=torch.float64)[:, None]
    monkeypatch.setattr(policy_trainer, "token_logprobs", lambda *_: (new, torch.zeros_like(new)))
    monkeypatch.setattr(policy_trainer, "gather_rows", lambda *_: rows)  # the state at the marker names its trajectory
    trainer = RecPOTrainer.__new__(RecPOTrainer)
    trainer._reports, trainer._sums, trainer.reference = defaultdict(list), defaultdict(float), None
    trainer.settings = PolicySettings(SamplingConfig(), GRPO, micro_batch_size=2)
    trainer._old_item_logprobs, trainer._micro_batch = [], 0
    trainer.backbone = SimpleNamespace(
        dtype="float32",
        read_prompts=lambda prompts: (SimpleNamespace(reader=lambda group_size: None), torch.zeros(2, 1)),
        read_replies=lambda ids, reader: torch.zeros(*ids.shape, 1),
    )
    recpo = RecPOConfig(num_generations=4, epsilon=EPSILON, epsilon_high=EPSILON_HIGH, item_trajectories=best_count)
    trainer.recommender = SimpleNamespace(config=SimpleNamespace(recpo=recpo))
    trainer.item_term = SimpleNamespace(target_logprobs=lambda hidden, chosen: items[hidden[:, 0].long()])
    rollouts = SimpleNamespace(
        prompts=TokenBatch(torch.zeros(2, 3, dtype=torch.long), torch.tensor([3, 3])),
        reply_ids=torch.zeros(8, 6, dtype=torch.long),
        sampled=data.mask,
        logprobs=data.old,
        lengths=torch.tensor([sum(lengths) for lengths in LENGTHS]),
    )
    advantages = group_advantages(data.rewards)
    token_loss, hidden = trainer._token_loss(rollouts, token_weights(data.mask), advantages)
    extra = trainer.extra_loss(hidden, ["a", "b"], advantages)
    (token_loss / 8 + extra / 2).backward()
    expected = finite_differences(data, data.old_items, best_count=best_count)
    torch.testing.assert_close((new.grad, items.grad), expected, rtol=1e-6, atol=1e-8)


def test_the_ratios_of_these_tests_leave_the_clip_range_on_both_sides():
    data = batch(GROUPS["mixed"])
    ratio, advantages = (data.new - data.old).exp(), group_advantages(data.rewards).flatten()[:, None]
    gradient = our_gradients(data)[0]
    too_high = data.mask & (ratio > 1 + EPSILON_HIGH) & (advantages > 0)
    too_low = data.mask & (ratio < 1 - EPSILON) & (advantages < 0)
    assert too_high.any() and too_low.any()
    assert gradient[too_high | too_low].eq(0).all()
    against = data.mask & ((ratio > 1 + EPSILON_HIGH) & (advantages < 0) | (ratio < 1 - EPSILON) & (advantages > 0))
    assert against.any() and gradient[against].ne(0).all(), "a ratio that moved the wrong way is never clipped"


def test_padding_and_appended_markers_get_no_gradient():
    data = batch(GROUPS["mixed"])
    assert our_gradients(data)[0][~data.mask].eq(0).all()


def test_a_reply_without_sampled_tokens_has_loss_zero_and_no_nan():
    logprobs = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    losses = token_losses(
        logprobs, torch.zeros(2, 3), token_weights(mask), torch.tensor([1.0, -1.0]), EPSILON, EPSILON_HIGH
    )
    losses.sum().backward()
    assert losses.tolist() == [-1.0, 0.0]
    assert logprobs.grad.tolist() == [[-0.5, -0.5, 0.0], [0.0, 0.0, 0.0]]


def test_a_tied_group_gets_no_gradient_at_all():
    tokens, items = our_gradients(batch(GROUPS["tied beside mixed"]))
    assert tokens[:4].eq(0).all() and items[:4].eq(0).all()
    assert tokens[4:].ne(0).any() and items[4:].ne(0).any()


@pytest.mark.parametrize("best_count", [1, 2])
def test_the_item_term_touches_the_best_trajectories_only(best_count):
    data = batch(GROUPS["mixed"])
    touched = our_gradients(data, best_count)[1].view(2, 4) != 0
    best = data.rewards.argsort(dim=1, descending=True)[:, :best_count]
    assert torch.equal(touched, torch.zeros(2, 4, dtype=torch.bool).scatter(1, best, True))


def test_ties_for_the_best_go_to_the_first():
    assert best_of_group(torch.tensor([[0.0, 1.0, 1.0, 0.0]]), 1).tolist() == [[False, True, False, False]]


def test_advantages_that_would_broadcast_are_refused_and_tokens_get_gradient():
    """Advantages [N, 1, 1] against log-probabilities [N, T] broadcast to [N, N, T]; centred, they cancel out."""
    data = batch(GROUPS["mixed"])
    advantages = group_advantages(data.rewards, "rloo").flatten()
    released = data.old.clone().requires_grad_()
    (torch.exp(released - data.old) * advantages[:, None, None]).mean().backward()
    torch.testing.assert_close(released.grad, torch.zeros_like(released), rtol=0, atol=1e-15)  # what was published

    ours = data.old.clone().requires_grad_()
    token_losses(ours, data.old, token_weights(data.mask), advantages, EPSILON, EPSILON_HIGH).sum().backward()
    assert (ours.grad[data.mask] != 0).all(), "every sampled token of a group with a winner must learn"
    for shape in ((8, 1, 1), (8, 1), (1,), (1, 8)):
        wrong = advantages[:1].view(1) if shape == (1,) else advantages.view(shape)
        with pytest.raises(ShapeError):
            token_losses(data.new, data.old, token_weights(data.mask), wrong, EPSILON, EPSILON_HIGH)


@pytest.mark.parametrize("broken", ["old", "mask"])
def test_log_probabilities_that_would_broadcast_are_refused(broken):
    data = batch(GROUPS["mixed"])
    setattr(data, broken, getattr(data, broken)[:1])
    with pytest.raises(ShapeError):
        token_losses(data.new, data.old, token_weights(data.mask), torch.zeros(8), EPSILON, EPSILON_HIGH)


def test_item_losses_that_would_broadcast_are_refused():
    column = torch.zeros(4)
    with pytest.raises(ShapeError):
        item_losses(column, column, column[:, None], torch.ones(4, dtype=torch.bool), EPSILON, EPSILON_HIGH)


def test_the_clipped_gain_is_the_smaller_one():
    # (1.5, +1) is cut at 1.28; (0.5, -1) is worth -0.8; (1.5, -1) and (0.5, +1) stay
    ratio, advantage = torch.tensor([1.5, 0.5, 1.5, 0.5]), torch.tensor([1.0, -1.0, -1.0, 1.0])
    torch.testing.assert_close(clipped_gain(ratio, advantage, 0.2, 0.28), torch.tensor([1.28, -0.8, -1.5, 0.5]))


def test_the_clip_share_counts_sampled_tokens_only():
    new = torch.tensor([[1.5, 1.0, 9.0], [0.5, 1.1, 1.27]]).log()
    mask = torch.tensor([[True, True, False], [True, True, True]])
    share = clip_share(new, torch.zeros_like(new), mask, 0.2, 0.28)
    torch.testing.assert_close(share, torch.tensor(2 / 5))


# -- the tokens of highest entropy --------------------------------------------------------------------------------


def test_the_tokens_of_highest_entropy_are_chosen_over_the_whole_batch():
    entropies = torch.tensor([[0.1, 0.9, 0.2, 9.0], [0.8, 0.3, 9.0, 9.0]])
    mask = torch.tensor([[True, True, True, False], [True, True, False, False]])  # 5 tokens
    assert top_entropy_tokens(entropies, mask, 0.4).tolist() == [[False, True, False, False], [True] + [False] * 3]
    assert top_entropy_tokens(entropies, mask, 0.2).sum() == 1 and top_entropy_tokens(entropies, mask, 0.21).sum() == 2
    assert torch.equal(top_entropy_tokens(entropies, mask, 1.0), mask)


def test_of_tied_entropies_the_first_are_chosen():
    chosen = top_entropy_tokens(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool), 0.5)
    assert chosen.tolist() == [[True, True], [False, False]]


def test_a_batch_without_sampled_tokens_chooses_none():
    assert not top_entropy_tokens(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool), 0.2).any()


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(ConfigError, match="top_entropy"):
        top_entropy_tokens(torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), share)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_only_the_chosen_tokens_get_gradient(beta):
    data, generator = batch(GROUPS["mixed"]), torch.Generator().manual_seed(1)
    entropies = torch.rand(data.mask.shape, generator=generator, dtype=torch.float64)
    chosen = top_entropy_tokens(entropies, data.mask, 0.2)
    weights = token_weights(data.mask) * chosen
    advantages = group_advantages(data.rewards).flatten()

    def gradient(of_the_others):
        """With another advantage at every token that was not chosen."""
        new = data.new.clone().requires_grad_()
        ratio = torch.exp(new - data.old)
        advantage = torch.where(chosen, advantages[:, None].expand_as(ratio), of_the_others)
        loss = -(clipped_gain(ratio, advantage, EPSILON, EPSILON_HIGH) * weights).sum()
        loss.backward()
        return new.grad

    plain = data.new.clone().requires_grad_()
    losses = token_losses(plain, data.old, weights, advantages, EPSILON, EPSILON_HIGH)
    losses.sum().backward()
    assert plain.grad[~chosen].eq(0).all() and plain.grad[chosen].ne(0).any()
    for others in (torch.tensor(0.0), torch.tensor(1e9), 1e6 * torch.randn(data.mask.shape, generator=generator)):
        assert torch.equal(gradient(others.double()), plain.grad)

    with_kl = data.new.clone().requires_grad_()
    token_losses(
        with_kl, data.old, weights, advantages, EPSILON, EPSILON_HIGH, reference_logprobs=data.old - 0.5, beta=beta
    ).sum().backward()
    assert with_kl.grad[~chosen].eq(0).all(), "the KL term is confined to the chosen tokens, too"


def test_with_a_share_of_one_the_loss_is_the_plain_one():
    data = batch(GROUPS["mixed"])
    weights = token_weights(data.mask)
    assert torch.equal(weights * top_entropy_tokens(torch.zeros_like(data.old), data.mask, 1.0), weights)


def test_the_trainer_weights_the_chosen_tokens_and_no_others():
    trainer = RecPOTrainer.__new__(RecPOTrainer)
    trainer.settings = PolicySettings(SamplingConfig(), GRPO, micro_batch_size=2, top_entropy=0.2)
    data = batch(GROUPS["mixed"])
    entropies = torch.rand(data.mask.shape, generator=torch.Generator().manual_seed(2))
    weights = trainer.token_weights(SimpleNamespace(sampled=data.mask, entropies=entropies))
    assert int((weights > 0).sum()) == math.ceil(0.2 * int(data.mask.sum()))
    assert torch.equal(weights > 0, top_entropy_tokens(entropies, data.mask, 0.2))
