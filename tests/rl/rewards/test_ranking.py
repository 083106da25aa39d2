"""Rewards: worked cases, and the signature that TRL calls them with."""

import math

import pytest
from support.trl_trainer import logged_step

from reckon.errors import ConfigError
from reckon.methods.r2ec.config import RecPOConfig, preset
from reckon.rl.rewards.ranking import fused_reward, ranking_reward, similarity_reward


def call(reward, **columns):
    size = len(next(iter(columns.values())))
    return reward(["prompt"] * size, ["reply"] * size, [[1, 2]] * size, **columns)


def test_the_ranking_reward_is_ndcg_of_one_target():
    found = call(ranking_reward, target_rank=[1, 2, 3, 7, 1000])
    assert found == pytest.approx([1.0, 1 / math.log2(3), 0.5, 1 / 3, 1 / math.log2(1001)])


def test_the_ranking_reward_is_zero_beyond_the_cutoff():
    assert call(ranking_reward, target_rank=[1000, 1001, 50_000])[1:] == [0.0, 0.0]
    assert call(ranking_reward, target_rank=[10, 11], cutoff=10) == [1 / math.log2(11), 0.0]


def test_the_similarity_reward_is_the_probability():
    assert call(similarity_reward, target_probability=[0.0, 0.25, 1.0]) == [0.0, 0.25, 1.0]


def test_the_fused_reward_mixes_both_parts():
    # rank 3 is worth 1/2: 0.95 * 0.5 + 0.05 * 0.4
    assert call(fused_reward(0.05), target_rank=[3], target_probability=[0.4]) == pytest.approx([0.495])


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("full", 0.95 * 0.5 + 0.05 * 0.4),
        ("no-ranking-reward", 0.4),
        ("no-similarity-reward", 0.5),
    ],
)
def test_each_arm_keeps_its_part_of_the_reward(arm, expected):
    config = preset("paper", arm)
    reward = fused_reward(config.reward_share, config.recpo.reward_cutoff)
    assert call(reward, target_rank=[3], target_probability=[0.4]) == pytest.approx([expected])


def test_a_share_outside_zero_to_one_is_refused():
    with pytest.raises(ConfigError, match="reward_beta"):
        fused_reward(1.5)
    with pytest.raises(ConfigError, match="reward_beta"):
        RecPOConfig(reward_beta=-0.1)


def test_a_missing_column_stops_the_run_instead_of_scoring_zero():
    with pytest.raises(TypeError, match="target_rank"):
        call(ranking_reward, target_probability=[0.5])
    with pytest.raises(ValueError, match="zip"):
        fused_reward()([None] * 2, [""] * 2, [[]] * 2, target_rank=[1, 2], target_probability=[0.5])


def test_rewards_accept_the_arguments_that_trl_passes():
    """TRL calls with keywords: conversations or texts, ids, every column, its trainer state and its logging hooks."""
    found = fused_reward(0.05)(
        prompts=[[{"role": "user", "content": "read: [A]"}]] * 2,
        completions=[[{"role": "assistant", "content": "sea"}]] * 2,
        completion_ids=[[5, 6], [7]],
        target_rank=[1, 2000],
        target_probability=[1.0, 0.0],
        trainer_state=object(),
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
        environments=None,
    )
    assert found == [1.0, 0.0]
    assert all(type(value) is float for value in found)


@pytest.mark.slow
def test_a_step_of_trls_grpo_trainer_runs_with_the_reward_unchanged(tmp_path):
    rows = [
        {"prompt": "read: [The Quiet Harbour]", "target_rank": rank, "target_probability": 0.1}
        for rank in (1, 2, 5, 2000)
    ]
    seen = []

    def reward(*args, **columns):
        seen.append(fused_reward()(*args, **columns))
        return seen[-1]

    logged = logged_step(tmp_path, reward, rows)
    assert len(seen) == 1 and len(seen[0]) == 4
    assert logged["reward"] == pytest.approx(sum(seen[0]) / 4, rel=1e-5)


def test_a_target_that_cannot_be_found_earns_nothing():
    assert call(ranking_reward, target_rank=[8, 9], catalog_size=8) == [1 / math.log2(9), 0.0]
    found = call(fused_reward(0.0), target_rank=[9], target_probability=[0.0], catalog_size=8)
    assert found == [0.0]
