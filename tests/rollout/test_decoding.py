"""Replies that grow step by step: side by side, read as soon as they end, dropped when nobody waits."""

import pytest
import torch
from support.tiny import FAMILIES, backbone

from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine

PROMPTS = [[5, 9, 40, 22, 31, 8, 99, 120, 45], [7, 7, 12], [60, 61, 62, 63]]
GREEDY = SamplingConfig(temperature=0, max_completion_length=10)


def tokens(rollouts):
    return [ids[:length].tolist() for ids, length in zip(rollouts.reply_ids, rollouts.lengths.tolist(), strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_decodings_side_by_side_write_what_one_batch_writes(family):
    bone = backbone(family)
    engine = SharedPrefixEngine(bone, MARKER)
    together = engine.sample(PROMPTS, GREEDY)
    with bone.evaluating():
        first = engine.begin(PROMPTS[:1], GREEDY)
        first.step()
        second = engine.begin(PROMPTS[1:], GREEDY)  # begins while the first grows
        while first.growing.any() or second.growing.any():
            for decoding in (first, second):
                if decoding.growing.any():
                    decoding.step()
    assert tokens(first.rollouts()) + tokens(second.rollouts()) == tokens(together)
    torch.testing.assert_close(torch.cat([first.rollouts().hidden, second.rollouts().hidden]), together.hidden)


def test_an_ended_reply_can_be_read_while_others_grow_and_a_dropped_one_holds_nobody_up():
    bone = backbone()
    engine = SharedPrefixEngine(bone, MARKER)
    together = engine.sample(PROMPTS, GREEDY)
    with bone.evaluating():
        decoding = engine.begin(PROMPTS, GREEDY)
        assert decoding.step().ge(0).all()
        decoding.drop([1])
        assert decoding.step().tolist()[1] == -1 and decoding.growing.tolist() == [True, False, True]
        while decoding.growing[2]:
            decoding.step()
    assert tokens(decoding.rollouts([2])) == tokens(together)[2:]
    torch.testing.assert_close(decoding.rollouts([2]).hidden, together.hidden[2:])
