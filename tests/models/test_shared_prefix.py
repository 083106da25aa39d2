"""The shared prefix changes the cost of a pass and nothing else."""

import pytest
import torch
from support.tiny import FAMILIES, backbone

from reckon.models.backbone import Backbone

GROUP = 3


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    prompts = [torch.randint(3, 300, (length,), generator=generator).tolist() for length in (11, 7)]
    replies = torch.randint(3, 300, (len(prompts) * GROUP, 9), generator=generator)
    return prompts, replies


def shared_hidden(bone, prompts, replies):
    states, last = bone.read_prompts(bone.pad(prompts))
    hidden = bone.read_replies(replies, states.reader(GROUP))
    return torch.cat([last.repeat_interleave(GROUP, 0)[:, None], hidden], dim=1)


def unshared_hidden(bone, prompts, replies):
    rows = []
    for row, reply in enumerate(replies.tolist()):
        prompt = prompts[row // GROUP]
        ids = torch.tensor([prompt + reply])
        hidden = bone.decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
        rows.append(hidden[len(prompt) - 1 :])
    return torch.stack(rows)


def gradients(bone, hidden, replies):
    bone.model.zero_grad()
    logprobs = bone.logits(hidden[:, :-1]).log_softmax(-1).gather(-1, replies[..., None])
    weights = torch.linspace(-1, 1, logprobs.numel()).view_as(logprobs)
    ((logprobs * weights).sum() + hidden[:, -1].pow(2).sum()).backward()
    return {name: parameter.grad.clone() for name, parameter in bone.model.named_parameters()}


@pytest.mark.parametrize("family", FAMILIES)
def test_hidden_states_equal_those_of_whole_sequences(family):
    bone = backbone(family)
    prompts, replies = batch()
    with torch.no_grad():
        torch.testing.assert_close(
            shared_hidden(bone, prompts, replies), unshared_hidden(bone, prompts, replies), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_those_of_whole_sequences(family, checkpointing):
    bone = backbone(family)
    prompts, replies = batch()
    expected = gradients(bone, unshared_hidden(bone, prompts, replies), replies)
    if checkpointing:
        bone.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        bone.model.train()
    shared = gradients(bone, shared_hidden(bone, prompts, replies), replies)
    for name, gradient in expected.items():
        relative = (shared[name] - gradient).norm() / gradient.norm().clamp_min(1e-12)
        assert relative < 1e-5, f"{name}: {relative:.1e}"


@pytest.mark.parametrize("family", FAMILIES)
def test_our_causal_attention_equals_the_models_own(family):
    bone = backbone(family)
    ids = torch.tensor([batch()[0][0]])
    with torch.no_grad():
        ours = bone.causal_lm(input_ids=ids).logits
        bone.causal_lm.set_attn_implementation("eager")
        torch.testing.assert_close(ours, bone.causal_lm(input_ids=ids).logits, rtol=1e-4, atol=1e-4)


def test_prompts_of_one_length_that_are_all_padded_hide_their_padding():
    """A micro-batch of short prompts keeps the width of the longest prompt of its batch."""
    bone = backbone("llama")
    prompts, replies = batch()
    short, replies = prompts[1:], replies[GROUP:]
    wide = bone.pad(prompts)
    padded = type(wide)(wide.ids[1:], wide.lengths[1:])
    with torch.no_grad():
        states, last = bone.read_prompts(padded)
        hidden = bone.read_replies(replies, states.reader(GROUP))
        shared = torch.cat([last.repeat_interleave(GROUP, 0)[:, None], hidden], dim=1)
        torch.testing.assert_close(shared, unshared_hidden(bone, short, replies), rtol=1e-4, atol=1e-4)


def token_by_token(bone, prompts, replies, *, captures):
    bone.prefix.captures = captures
    replies = replies.to(bone.device)
    states, _ = bone.read_prompts(bone.pad(prompts))
    reader = states.reader(GROUP, replies.shape[1])
    with torch.no_grad():
        return torch.cat([bone.read_replies(token, reader) for token in replies.split(1, dim=1)], dim=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_buffers_of_fixed_size_give_the_same_states(family):
    """What a GPU captures as one decoding step, run as it is."""
    bone = backbone(family)
    growing, static = (token_by_token(bone, *batch(), captures=captures) for captures in (False, True))
    torch.testing.assert_close(static, growing, rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("family", FAMILIES)
def test_a_captured_step_gives_the_same_states(family):
    bone = Backbone(backbone(family).model.to("cuda"), backbone(family).tokenizer)
    assert bone.prefix.captures
    growing, captured = (token_by_token(bone, *batch(), captures=captures) for captures in (False, True))
    torch.testing.assert_close(captured, growing, rtol=1e-3, atol=1e-3)
    assert bone.prefix.captures  # it was captured, and not given up
