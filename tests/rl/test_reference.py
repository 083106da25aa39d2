"""The reference policy keeps the starting weights."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from support.tiny import backbone

from reckon.models import Backbone
from reckon.rl.objective import token_kl
from reckon.rl.reference import ReferencePolicy
from reckon.rollout import SamplingConfig, SharedPrefixEngine

PROMPTS = [[5, 9, 20, 7], [30, 31, 6, 8, 12, 44]]
SAMPLING = SamplingConfig(max_completion_length=5)


def adapted(bone):
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    return Backbone(get_peft_model(bone.causal_lm, lora), bone.tokenizer)


@pytest.mark.parametrize("lora", [False, True])
def test_the_reference_equals_the_starting_policy_after_updates(lora):
    bone = adapted(backbone()) if lora else backbone()
    reference = ReferencePolicy(bone)
    engine = SharedPrefixEngine(bone, "</rate>", appends_marker=False)
    rollouts = engine.sample(PROMPTS, SAMPLING, num_generations=2, generator=torch.Generator().manual_seed(0))

    def logprobs():
        return reference.logprobs(rollouts.prompts, rollouts.reply_ids, rollouts.sampled, 2, SAMPLING)

    torch.testing.assert_close(logprobs(), rollouts.logprobs, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        for parameter in bone.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    moved = engine.sample(PROMPTS, SAMPLING, num_generations=2, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(moved.logprobs, rollouts.logprobs)
    torch.testing.assert_close(logprobs(), rollouts.logprobs, rtol=1e-5, atol=1e-5)


def test_fresh_adapters_need_no_copy_of_the_model():
    bone = adapted(backbone())
    assert ReferencePolicy(bone).backbone is bone
    plain = backbone()
    assert ReferencePolicy(plain).backbone is not plain


def test_kl_is_zero_for_the_same_policy_and_positive_else():
    logprobs = torch.tensor([-1.0, -2.0])
    assert token_kl(logprobs, logprobs).eq(0).all()
    assert (token_kl(logprobs, logprobs + torch.tensor([0.5, -0.5])) > 0).all()
