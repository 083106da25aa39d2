"""Rollouts: sampled tokens, their log-probabilities, and how replies end."""

import pytest
import torch
from scipy.stats import chisquare
from support.tiny import FAMILIES, backbone

from reckon.errors import ConfigError
from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine, sampled_logprobs

PROMPTS = [[5, 9, 40, 22, 31, 8, 99, 120, 45], [7, 7, 12]]


def rollouts(bone, sampling, seed=0, group=3, prompts=PROMPTS):
    generator = torch.Generator().manual_seed(seed)
    engine = SharedPrefixEngine(bone, MARKER)
    return engine.sample(prompts, sampling, num_generations=group, generator=generator, with_entropy=True)


def teacher_forced(bone, prompt, reply):
    """Hidden states that predict each reply token, and the state at the reply's end, from one plain pass."""
    ids = torch.tensor([prompt + reply])
    with torch.no_grad():
        hidden = bone.decoder(input_ids=ids, use_cache=False).last_hidden_state[0]
    return hidden[len(prompt) - 1 : -1], hidden[-1]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "sampling",
    [
        SamplingConfig(max_completion_length=12),
        SamplingConfig(max_completion_length=12, temperature=1.7, top_k=20, top_p=0.9),
    ],
    ids=["plain", "top-k-p"],
)
def test_logprobs_and_hidden_state_equal_a_teacher_forced_pass(family, sampling):
    bone = backbone(family)
    rolled = rollouts(bone, sampling)
    for row in range(len(rolled)):
        reply = rolled.reply_ids[row, : rolled.lengths[row]].tolist()
        predicting, last = teacher_forced(bone, PROMPTS[row // 3], reply)
        logprobs = sampled_logprobs(bone.logits(predicting), sampling)
        chosen = rolled.sampled[row, : len(reply)]
        expected = logprobs.gather(1, torch.tensor(reply)[:, None])[:, 0][chosen]
        torch.testing.assert_close(rolled.logprobs[row, : len(reply)][chosen], expected, rtol=1e-5, atol=1e-5)
        entropies = torch.distributions.Categorical(logits=logprobs.clamp_min(-1e4)).entropy()[chosen]
        torch.testing.assert_close(rolled.entropies[row, : len(reply)][chosen], entropies, rtol=1e-4, atol=1e-5)
        assert rolled.entropies[row][~rolled.sampled[row]].eq(0).all()
        torch.testing.assert_close(rolled.hidden[row], last, rtol=1e-4, atol=1e-5)


def test_entropies_are_optional_and_change_no_sample():
    bone, sampling = backbone(), SamplingConfig(max_completion_length=6)
    plain = SharedPrefixEngine(bone, MARKER).sample(PROMPTS, sampling, generator=torch.Generator().manual_seed(0))
    asked = rollouts(bone, sampling, group=1)
    assert plain.entropies is None and asked.entropies is not None
    assert torch.equal(plain.reply_ids, asked.reply_ids) and torch.equal(plain.logprobs, asked.logprobs)


@pytest.mark.parametrize("one_token", [True, False])
def test_a_reply_out_of_budget_gets_the_marker_and_is_counted(one_token):
    bone = backbone(marker_is_one_token=one_token)
    marker = bone.tokenizer.encode(MARKER, add_special_tokens=False)
    rolled = rollouts(bone, SamplingConfig(max_completion_length=4, top_k=5))
    cut = [row for row, reason in enumerate(rolled.finish) if reason == "length"]
    assert cut, "this seed must truncate at least one reply"
    for row in cut:
        assert rolled.reply_ids[row, : rolled.lengths[row]].tolist()[4:] == marker
        assert rolled.sampled[row].sum() == 4
        assert rolled.truncated[row]


def forced_model(bone, sequence):
    """Make the model emit `sequence` whatever the prompt, by biasing the logits step by step."""
    original, step = bone.logits, iter(range(10_000))

    def logits(hidden):
        biased = original(hidden).clone()
        index = next(step)
        if index < len(sequence):
            biased[:, sequence[index]] += 1e4
        return biased

    bone.logits = logits


@pytest.mark.parametrize("one_token", [True, False])
def test_a_sampled_marker_ends_the_reply(one_token):
    bone = backbone(marker_is_one_token=one_token)
    marker = bone.tokenizer.encode(MARKER, add_special_tokens=False)
    forced_model(bone, [17, 18, *marker])
    rolled = rollouts(bone, SamplingConfig(max_completion_length=30))
    assert set(rolled.finish) == {"marker"}
    assert rolled.lengths.tolist() == [2 + len(marker)] * 6
    assert rolled.sampled.all()


MORE = [f"<more {number}>" for number in range(50)]


def test_a_tokenizer_may_have_more_tokens_than_its_model():
    bone = backbone(marker_is_one_token=False)
    bone.tokenizer.add_tokens(MORE)
    assert len(bone.tokenizer) > len(bone.causal_lm.get_output_embeddings().weight)
    rollouts = SharedPrefixEngine(bone, MARKER).sample([[5, 6]], SamplingConfig(max_completion_length=4))
    assert len(rollouts) == 1


def test_a_marker_for_which_the_model_has_no_vector_is_refused():
    bone = backbone(marker_is_one_token=False)
    bone.tokenizer.add_tokens([*MORE, MARKER])
    with pytest.raises(ConfigError, match="no vectors"):
        SharedPrefixEngine(bone, MARKER)


def test_a_reply_that_the_policy_ended_with_its_turn_is_complete_and_gets_the_marker():
    bone = backbone()
    forced_model(bone, [17, bone.tokenizer.eos_token_id])
    rolled = rollouts(bone, SamplingConfig(max_completion_length=30))
    assert set(rolled.finish) == {"end"} and not rolled.truncated.any() and not rolled.marked.any()
    assert rolled.reply_ids[0].tolist()[:2] == [17, bone.tokenizer.eos_token_id]
    assert rolled.sampled.sum(dim=1).tolist() == [2] * 6


def test_sampling_frequencies_match_the_stated_distribution():
    bone = backbone(spread=2.0)
    sampling = SamplingConfig(max_completion_length=1, temperature=1.3, top_k=8, top_p=0.95)
    rolled = rollouts(bone, sampling, group=4000, prompts=PROMPTS[:1])
    predicting, _ = teacher_forced(bone, PROMPTS[0], [5])
    expected = sampled_logprobs(bone.logits(predicting), sampling)[0].exp().detach().double()
    counts = torch.bincount(rolled.reply_ids[:, 0], minlength=len(expected))
    support = expected > 0
    assert counts[~support].sum() == 0
    assert chisquare(counts[support].numpy(), (expected[support] / expected.sum() * 4000).numpy()).pvalue > 0.001


def test_the_same_seed_gives_the_same_rollouts():
    bone = backbone()
    first, second = (rollouts(bone, SamplingConfig(max_completion_length=8), seed=4) for _ in range(2))
    assert torch.equal(first.reply_ids, second.reply_ids) and torch.equal(first.hidden, second.hidden)


def test_sampling_ignores_the_models_generation_config():
    plain, altered = backbone(), backbone()
    generation = altered.causal_lm.generation_config
    generation.temperature, generation.top_k, generation.do_sample, generation.max_length = 0.01, 1, True, 2
    sampling = SamplingConfig(max_completion_length=8)
    assert torch.equal(rollouts(plain, sampling).reply_ids, rollouts(altered, sampling).reply_ids)


def test_top_p_keeps_the_fewest_tokens_that_reach_p():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    kept = sampled_logprobs(logits, SamplingConfig(top_p=0.7)).exp()
    torch.testing.assert_close(kept, torch.tensor([[0.625, 0.375, 0.0, 0.0]]))


def test_streaming_reports_every_token_once():
    bone, seen = backbone(), []
    engine = SharedPrefixEngine(bone, MARKER)
    rolled = engine.sample(
        PROMPTS[:1], SamplingConfig(max_completion_length=6), on_token=lambda t: seen.append(int(t[0]))
    )
    assert [token for token in seen if token >= 0] == rolled.reply_ids[0].tolist()


def test_without_appending_a_reply_ends_where_the_policy_stopped():
    bone = backbone()
    engine = SharedPrefixEngine(bone, MARKER, appends_marker=False)
    sampling = SamplingConfig(max_completion_length=4, top_k=5)
    rolled = engine.sample(PROMPTS, sampling, num_generations=3, generator=torch.Generator().manual_seed(0))
    marker = engine.marker.ids[0]
    cut = [row for row, reason in enumerate(rolled.finish) if reason == "length"]
    assert cut, "this seed must truncate at least one reply"
    for row, reason in enumerate(rolled.finish):
        reply = rolled.reply_ids[row, : rolled.lengths[row]].tolist()
        assert rolled.sampled[row].sum() == rolled.lengths[row] <= 4, "nothing is appended"
        assert (reply[-1] == marker) == (reason == "marker")
    assert rolled.truncated.tolist() == [reason == "length" for reason in rolled.finish]


@pytest.mark.parametrize("written", ["marker", "end"])
def test_without_appending_a_written_end_ends_the_reply(written):
    bone = backbone()
    engine = SharedPrefixEngine(bone, MARKER, appends_marker=False)
    last = engine.marker.ids[0] if written == "marker" else bone.tokenizer.eos_token_id
    forced_model(bone, [7, 9, last])
    rolled = engine.sample(PROMPTS, SamplingConfig(max_completion_length=8))
    assert rolled.finish == (written,) * len(PROMPTS)
    assert rolled.reply_ids.tolist() == [[7, 9, last]] * len(PROMPTS)
    assert not rolled.truncated.any(), "the policy itself ended the reply"


def test_top_k_keeps_exactly_k_tokens_of_ties_the_first():
    logits = torch.tensor([[0.0, 2.0, 1.0, 1.0, 1.0, -1.0]])
    kept = sampled_logprobs(logits, SamplingConfig(top_k=3)).exp()
    torch.testing.assert_close(
        kept,
        torch.tensor([[0.0, 2.0, 1.0, 1.0, -torch.inf, 0.0]])
        .masked_fill(torch.tensor([[True, False, False, False, True, True]]), -torch.inf)
        .softmax(-1),
    )
