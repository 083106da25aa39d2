"""Every family gives its own probabilities, whichever way it is read."""

import importlib.util
import logging
from functools import cache
from pathlib import Path

import pytest
import torch
from support import tiny
from transformers import BertConfig, BertLMHeadModel

from reckon.errors import ConfigError
from reckon.models import Backbone
from reckon.models.prefix.repeated import RepeatedPrefix
from reckon.rl.reference import ReferencePolicy

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("families", ROOT / "benchmarks" / "families.py")
assert SPEC is not None and SPEC.loader is not None
families = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(families)

PROMPTS, GROUP = families.PROMPTS, families.GROUP
REPLIES = torch.randint(3, 300, (len(PROMPTS) * GROUP, 5), generator=torch.Generator().manual_seed(1))
REPEATED = "Mamba"  # a family that keeps a recurrent state
every_family = pytest.mark.parametrize("family", families.FAMILIES)


@cache
def loaded(family, dtype=torch.float32):
    return Backbone(families.tiny_model(family).to(dtype), families.tokenizer())


def training_logprobs(bone, prompts=PROMPTS, replies=REPLIES):
    """[N, T] of whole replies, as a training pass takes them."""
    states, last = bone.read_prompts(bone.pad(prompts))
    hidden = bone.read_replies(replies, states.reader(GROUP))
    before = torch.cat([last.repeat_interleave(GROUP, 0)[:, None], hidden[:, :-1]], dim=1)
    return bone.logits(before).log_softmax(-1).gather(-1, replies[..., None])[..., 0]


def expected_logprobs(bone, attention="eager"):
    rows = []
    for row, reply in enumerate(REPLIES):
        logits = families.one_by_one(bone.causal_lm, PROMPTS[row // GROUP], reply.tolist(), attention)
        rows.append(logits.log_softmax(-1).gather(1, reply[:, None])[:, 0])
    return torch.stack(rows)


def gradients(bone, logprobs):
    bone.model.zero_grad()
    (logprobs * torch.linspace(-1, 1, logprobs.numel()).view_as(logprobs)).sum().backward()
    return {name: weight.grad.clone() for name, weight in bone.model.named_parameters() if weight.grad is not None}


@every_family
def test_replies_depend_on_the_prompt(family):
    logprobs = training_logprobs(loaded(family), PROMPTS[1:], REPLIES[:1].expand(4, -1)).detach()
    assert (logprobs[0] - logprobs[2]).abs().min() > 1e-4, "at every token"


@every_family
def test_sampled_logprobs_equal_those_of_one_sequence_at_a_time(family):
    assert families.largest_difference(loaded(family)) < 1e-4


@every_family
def test_training_logprobs_and_their_gradients_equal_those_of_one_sequence_at_a_time(family):
    bone = loaded(family)
    ours, theirs = training_logprobs(bone), expected_logprobs(bone)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    ours, theirs = gradients(bone, ours), gradients(bone, theirs)
    assert ours.keys() == theirs.keys()
    scale = torch.stack([gradient.norm() for gradient in theirs.values()]).max()
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6 * scale, name


@every_family
def test_greedy_tokens_equal_those_of_generate(family):
    rolled, model = families.sampled(loaded(family), temperature=0.0), families.tiny_model(family)
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt])
        own = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=families.REPLY, pad_token_id=0
        )[0, len(prompt) :]
        length = int(rolled.lengths[row * GROUP])
        assert rolled.reply_ids[row * GROUP, :length].tolist() == own.tolist()


@every_family
def test_items_of_unequal_length_are_encoded_as_if_alone(family):
    bone = loaded(family)
    with torch.no_grad():
        together = bone.last_hidden(bone.pad(PROMPTS))
        for row, prompt in enumerate(PROMPTS):
            torch.testing.assert_close(together[row], bone.last_hidden(bone.pad([prompt]))[0], rtol=1e-3, atol=1e-4)


@every_family
def test_bfloat16_takes_the_same_way_and_stays_near_one_sequence_at_a_time(family):
    bone = loaded(family, torch.bfloat16)
    assert bone.prefix.label == loaded(family).prefix.label
    own = "eager" if bone.prefix.label == "shared prefix" else bone.causal_lm.config._attn_implementation
    with torch.no_grad():
        difference = (training_logprobs(bone) - expected_logprobs(bone, own)).abs()
    assert difference.mean() < 0.1  # with eight bits of mantissa and logits of about ten


def test_the_page_of_models_names_every_family_its_class_and_its_way():
    derived = [[name, type(loaded(name).causal_lm).__name__, loaded(name).prefix.label] for name in families.FAMILIES]
    assert [cells[:3] for cells in families.documented()] == derived


def test_a_model_that_cannot_share_says_so_once(caplog):
    with caplog.at_level(logging.WARNING, logger="reckon"):
        bone = Backbone(families.tiny_model(REPEATED), families.tokenizer())
        twin = ReferencePolicy(bone).backbone
        Backbone(families.tiny_model("Llama"), families.tokenizer())
    (record,) = [record for record in caplog.records if record.name.startswith("reckon")]
    assert "cannot share a prompt among its replies" in record.getMessage() and "\n" not in record.getMessage()
    assert twin.prefix.label == "repeated prompts" and twin.causal_lm is not bone.causal_lm
    with torch.no_grad():
        torch.testing.assert_close(training_logprobs(twin), training_logprobs(bone))


def test_a_model_that_has_been_through_a_backbone_is_read_in_the_same_way_again():
    for family in ("Llama", "StableLM"):
        first = loaded(family)
        assert Backbone(first.causal_lm, families.tokenizer()).prefix.label == first.prefix.label


def test_generation_without_a_cache_gives_the_same_states():
    bone = loaded(REPEATED)
    uncached = RepeatedPrefix(bone.decoder, cached=False)
    with torch.no_grad():
        hidden = []
        for prefix in (bone.prefix, uncached):
            states, _ = prefix.read_prompts(bone.pad(PROMPTS))
            reader = states.reader(GROUP, REPLIES.shape[1])
            hidden.append(torch.cat([prefix.read_replies(part, reader) for part in REPLIES.split(1, dim=1)], dim=1))
    torch.testing.assert_close(*hidden, rtol=1e-3, atol=1e-4)


def test_a_family_without_a_cache_reads_whole_sequences(caplog):
    model = families.tiny_model("StableLM")
    decoder, original = model.get_decoder(), model.get_decoder().forward

    def forgetful(*args, past_key_values=None, **kwargs):
        output = original(*args, **kwargs | {"use_cache": False})
        output.past_key_values = None
        return output

    decoder.forward = forgetful
    bone = Backbone(model, families.tokenizer())
    assert not bone.prefix.cached and "without a cache" in caplog.text
    assert families.largest_difference(bone) < 1e-4


def test_some_rows_of_the_prompts_are_read_as_those_prompts():
    for family in ("Llama", REPEATED):
        bone = loaded(family)
        with torch.no_grad():
            states, _ = bone.read_prompts(bone.pad(PROMPTS))
            some = bone.read_replies(REPLIES[:4], states.rows(torch.tensor([2, 0])).reader(GROUP))
            alone, _ = bone.read_prompts(bone.pad([PROMPTS[2], PROMPTS[0]]))
            torch.testing.assert_close(some, bone.read_replies(REPLIES[:4], alone.reader(GROUP)), rtol=1e-3, atol=1e-4)


def test_an_encoder_is_refused():
    size = dict(vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    model = BertLMHeadModel(BertConfig(**size, is_decoder=False)).eval()
    with pytest.raises(ConfigError, match="does not read from left to right"):
        Backbone(model, families.tokenizer())


def test_weights_that_are_not_finite_are_refused():
    model = tiny.model("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(torch.nan)
    with pytest.raises(ConfigError, match="not finite"):
        Backbone(model, tiny.tokenizer())
