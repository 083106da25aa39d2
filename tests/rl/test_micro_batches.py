"""Micro-batches of an update: groups of similar length together, padded no further than the longest of them."""

import torch

from reckon.models.token_batch import TokenBatch
from reckon.rl.policy_trainer import micro_batches
from reckon.rollout import Rollouts


def rollouts(prompt_lengths, reply_lengths, group=2):
    """Replies of known lengths, every reply of a group as long as the others; token ids tell the rows apart."""
    lengths = torch.tensor(reply_lengths).repeat_interleave(group)
    rows, longest = len(lengths), int(lengths.max())
    ids = torch.arange(rows)[:, None].expand(rows, longest).clone()
    inside = torch.arange(longest) < lengths[:, None]
    prompts = TokenBatch.pad([[7] * length for length in prompt_lengths], 0, torch.device("cpu"))
    return Rollouts(
        prompts, ids, inside, -inside.float(), lengths, torch.arange(rows)[:, None].float(), ("marker",) * rows
    )


def tokens_seen(rolled, size):
    """Padded tokens that the forward passes of an update are given: each prompt once, each reply once."""
    parts = [rolled.part(groups) for groups in micro_batches(rolled, size)]
    return sum(part.prompts.ids.numel() + part.reply_ids.numel() for part in parts)


def test_micro_batches_of_skewed_lengths_have_little_padding():
    skewed = rollouts([400, *[20] * 15], [100, *[5] * 15])
    own = int(skewed.prompts.lengths.sum() + skewed.lengths.sum())
    whole = skewed.prompts.ids.numel() + skewed.reply_ids.numel()
    assert whole > 8 * own
    assert tokens_seen(skewed, 1) == own
    assert tokens_seen(skewed, 5) < 0.4 * whole


def test_every_group_is_in_one_micro_batch_whole():
    rolled = rollouts([9, 3, 5, 3, 8], [4, 2, 6, 1, 2])
    batches = micro_batches(rolled, 2)
    assert sorted(group for batch in batches for group in batch) == list(range(5))
    assert [len(batch) for batch in batches] == [2, 2, 1]


def test_a_part_holds_the_rows_of_its_groups_in_their_order():
    rolled = rollouts([9, 3, 5], [4, 2, 6])
    part = rolled.part([2, 1])
    assert part.hidden[:, 0].tolist() == [4, 5, 2, 3]
    assert part.lengths.tolist() == [6, 6, 2, 2] and part.reply_ids.shape == (4, 6)
    assert part.prompts.lengths.tolist() == [5, 3] and part.prompts.ids.shape == (2, 5)
    assert torch.equal(part.sampled.sum(dim=1), part.lengths)
