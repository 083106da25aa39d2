"""Rewards of RPORec: worked cases, broken replies, ablation, and the signature that TRL calls them with."""

import math

import pytest
from support.trl_trainer import logged_step

from reckon.errors import ConfigError, DataError, ShapeError
from reckon.rl.rewards.rporec import (
    PARTS,
    RewardSettings,
    clean_reward,
    compression_reward,
    entropy_reward,
    format_reward,
    reward_parts,
    similarity_reward,
    total_reward,
)

RIGHT = "<think>after sea comes crime</think><answer>Dark Crime, a book</answer>"
BROKEN = {
    "nothing": "",
    "empty reasoning": "<think></think><answer>Dark Crime</answer>",
    "reasoning of blanks": "<think> \n </think><answer>Dark Crime</answer>",
    "empty answer": "<think>after sea comes crime</think><answer></answer>",
    "answer before reasoning": "<answer>Dark Crime</answer><think>after sea comes crime</think>",
    "answer inside reasoning": "<think>after sea<answer>Dark Crime</answer></think>",
    "two answers": RIGHT + "<answer>Calm Sea</answer>",
    "two reasonings": "<think>sea</think>" + RIGHT,
    "truncated": RIGHT[:-3],
    "text around": f"Well: {RIGHT} done",
    "full-width brackets": "＜think＞after sea comes crime＜/think＞<answer>Dark Crime</answer>",
}


def columns(size, rank=1, summary="after sea comes crime", cosine=1.0, entropies=(1.0, 0.5)):
    """Columns with the highest rewards for a reply."""
    return {
        "target_rank": [rank] * size,
        "summary": [summary] * size,
        "summary_similarity": [cosine] * size,
        "reasoning_entropies": [list(entropies)] * size,
    }


def call(reward, completions, **further):
    return reward([None] * len(completions), completions, [[1]] * len(completions), **further)


def test_the_whole_reward_of_one_reply_by_hand():
    # y is "海のあとは犯罪" (7 characters), its summary "犯罪" (2): r_comp 2/7. Rank 3: r_ndcg 1/2. Cosine 0.6 > 0.5.
    # 6 entropies: the top ceil(1.2) = 2 are 3 and 1, mean 2; all of them average 5.2 / 6. One blank outside: 0.99.
    reply = "<think>海のあとは犯罪</think>\n<answer>暗い犯罪</answer>"
    given = columns(1, 3, "犯罪", 0.6, [0.2, 3.0, 0.0, 1.0, 0.5, 0.5])
    parts = reward_parts(RewardSettings(), [reply], **given)
    expected = {
        "format": 1,
        "clean": 0.99,
        "ndcg": 0.5,
        "similarity": 1,
        "compression": 2 / 7,
        "entropy": 2 - 5.2 / 6,
    }
    assert {name: values[0] for name, values in parts.items()} == pytest.approx(expected)
    by_hand = 0.1 * 1 + 0.1 * 0.99 + 0.5 * 0.5 + 0.1 * 1 + 0.1 * 2 / 7 + 0.1 * (2 - 5.2 / 6)
    assert call(total_reward(), [reply], **given) == pytest.approx([by_hand])


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("weights", [{}, {"format": 0.0}, {"ndcg": 100.0, "entropy": 5.0}], ids=str)
def test_the_total_is_zero_whenever_the_format_is_wrong(reply, weights):
    """Also where the target is first, the summary perfect and the entropy high."""
    earned = call(total_reward(RewardSettings(**weights)), [reply, RIGHT], **columns(2))
    assert earned[0] == 0.0 < earned[1]
    assert call(format_reward, [reply, RIGHT]) == [0.0, 1.0]


def test_every_part_of_a_broken_reply_is_a_finite_number_in_its_range():
    parts = reward_parts(RewardSettings(), list(BROKEN.values()), **columns(len(BROKEN), entropies=()))
    for name, values in parts.items():
        assert all(0 <= value <= 1 for value in values), name


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (RIGHT, 1.0),
        (f"{RIGHT}\n", 0.99),
        ("x" * 40 + RIGHT, 0.6),
        ("é" * 40 + RIGHT, 0.6),
        ("x" * 100 + RIGHT, 0.0),
        ("x" * 500 + RIGHT, 0.0),
        ("<answer>b</answer>, then <think>a</think>", 0.93),
    ],
)
def test_cleanness_falls_by_a_hundredth_per_character_outside(reply, expected):
    assert call(clean_reward, [reply]) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("reasoning", "summary", "expected"),
    [
        ("sea then crime", "crime", 5 / 14),
        ("crime", "crime", 1.0),
        ("crime", "a summary that is longer", 1.0),
        ("sea then crime", "", 0.0),
        ("", "crime", 0.0),
        ("   ", "crime", 0.0),
        ("犯罪のあと", "犯罪", 2 / 5),
    ],
)
def test_compression_is_the_length_of_the_summary_over_that_of_the_reasoning(reasoning, summary, expected):
    reply = f"<think>{reasoning}</think><answer>b</answer>"
    assert call(compression_reward, [reply], summary=[summary]) == pytest.approx([expected])


def test_similarity_pays_above_delta_and_not_at_it():
    found = call(similarity_reward, [RIGHT] * 4, summary_similarity=[0.49, 0.5, 0.51, -1.0], delta=0.5)
    assert found == [0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("entropies", "expected"),
    [([], 0.0), ([2.0], 0.0), ([1.0] * 10, 0.0), ([4.0, 0, 0, 0, 0], 3.2), ([4.0, 2.0, 0, 0, 0, 0], 3 - 1)],
)
def test_the_entropy_reward_is_the_gap_between_the_forks_and_all_tokens(entropies, expected):
    assert call(entropy_reward, [RIGHT], reasoning_entropies=[entropies]) == pytest.approx([expected])


@pytest.mark.parametrize("rank", [1, 2, 7, 1000, 1001])
def test_the_ranking_reward_is_ndcg_with_a_cut_off(rank):
    weights = dict.fromkeys(PARTS, 0.0) | {"ndcg": 1.0}
    expected = 1 / math.log2(1 + rank) if rank <= 1000 else 0.0
    assert call(total_reward(RewardSettings(**weights)), [RIGHT], target_rank=[rank]) == pytest.approx([expected])


@pytest.mark.parametrize("name", PARTS)
def test_every_reward_can_be_left_out(name):
    settings = RewardSettings(**{name: 0.0})
    full, given = reward_parts(RewardSettings(), [RIGHT], **columns(1, rank=2)), columns(1, rank=2)
    expected = sum(settings.weights[part] * values[0] for part, values in full.items())
    assert call(total_reward(settings), [RIGHT], **given) == pytest.approx([expected])
    assert expected < call(total_reward(), [RIGHT], **given)[0]


def test_rewards_that_are_left_out_need_no_columns():
    settings = RewardSettings(similarity=0, compression=0, entropy=0)
    assert not settings.needs_summary and RewardSettings(similarity=0).needs_summary
    assert call(total_reward(settings), [RIGHT], target_rank=[1]) == pytest.approx([0.7])


def test_a_missing_column_and_one_of_another_length_stop_the_run():
    with pytest.raises(TypeError, match="target_rank"):
        call(total_reward(), [RIGHT])
    with pytest.raises(ShapeError, match="summary"):
        call(total_reward(), [RIGHT, RIGHT], **(columns(2) | {"summary": ["a"]}))
    with pytest.raises(DataError, match="completion"):
        call(total_reward(), [None], **columns(1))


@pytest.mark.parametrize(
    "wrong", [{"ndcg": -0.1}, {"entropy": math.inf}, {"delta": 1.5}, {"cutoff": 0}, dict.fromkeys(PARTS, 0.0)]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="rewards"):
        RewardSettings(**wrong)


def test_rewards_accept_the_arguments_that_trl_passes():
    """TRL calls with keywords: conversations or texts, ids, every column, its trainer state and its logging hooks."""
    texts = [RIGHT, "?"]
    conversations = [[{"role": "assistant", "content": text}] for text in texts]
    reward = total_reward()
    found = reward(
        prompts=[[{"role": "user", "content": "read: [A]"}]] * 2,
        completions=conversations,
        completion_ids=[[5, 6], [7]],
        user_id=["ann", "bob"],
        trainer_state=object(),
        log_extra=lambda *_: None,
        log_metric=lambda *_: None,
        environments=None,
        **columns(2),
    )
    assert found == call(reward, texts, **columns(2))
    assert found[0] > found[1] == 0 and all(type(value) is float for value in found)
    assert reward.__name__ == "rporec_reward"


def test_a_step_of_trls_grpo_trainer_runs_with_the_rewards_unchanged(tmp_path):
    text_rewards = RewardSettings(ndcg=0, similarity=0, compression=0, entropy=0)
    rewards = [format_reward, clean_reward, total_reward(text_rewards)]
    logged = logged_step(tmp_path, rewards, [{"prompt": "read: [The Quiet Harbour]"}] * 4)
    assert logged["rewards/format_reward/mean"] == logged["rewards/rporec_reward/mean"] == 0.0
    assert 0 < logged["rewards/clean_reward/mean"] < 1
