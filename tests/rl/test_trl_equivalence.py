"""Our GRPO loss is TRL's: the same model, batch, advantages and reference give the same number and gradient."""

import pytest
import torch
from datasets import Dataset
from support.tiny import backbone
from transformers.utils import logging

from reckon.rl.objective import token_losses, token_weights
from reckon.rollout import SamplingConfig, SharedPrefixEngine, token_logprobs

trl = pytest.importorskip("trl")

PROMPTS = [[5, 9, 20, 7], [30, 31, 6, 8, 12, 44]]
GROUP, BUDGET, EPSILON, EPSILON_HIGH, BETA = 3, 7, 0.2, 0.28, 0.05
PAD = 0


@pytest.fixture(scope="module")
def batch():
    """Sampled replies of different lengths, advantages, and old and reference log-probabilities off the policy's."""
    bone = backbone()
    engine = SharedPrefixEngine(bone, "</rate>", appends_marker=False)
    sampling = SamplingConfig(max_completion_length=BUDGET)
    rollouts = engine.sample(PROMPTS, sampling, num_generations=GROUP, generator=torch.Generator().manual_seed(1))
    mask = rollouts.sampled.clone()
    mask[1, 3:] = mask[4, 5:] = False  # replies that ended earlier
    generator = torch.Generator().manual_seed(2)
    old = rollouts.logprobs + 0.4 * torch.randn(mask.shape, generator=generator)
    reference = rollouts.logprobs + 0.3 * torch.randn(mask.shape, generator=generator)
    advantages = torch.randn(len(mask), generator=generator)
    return bone, rollouts, mask, old * mask, reference * mask, advantages


def our_loss(batch, loss_type, beta):
    bone, rollouts, mask, old, reference, advantages = batch
    states, last = bone.read_prompts(rollouts.prompts)
    hidden = bone.read_replies(rollouts.reply_ids, states.reader(GROUP))
    predicting = torch.cat([last.repeat_interleave(GROUP, 0)[:, None], hidden[:, :-1]], dim=1)
    logprobs, _ = token_logprobs(bone, predicting, rollouts.reply_ids, mask, SamplingConfig())
    weights = token_weights(mask, loss_type, BUDGET)
    losses = token_losses(
        logprobs, old, weights, advantages, EPSILON, EPSILON_HIGH, reference_logprobs=reference, beta=beta
    )
    return losses.mean()


def their_loss(batch, loss_type, beta, tmp_path):
    bone, rollouts, mask, old, reference, advantages = batch
    logging.set_verbosity_error()
    trainer = trl.GRPOTrainer(
        model=bone.causal_lm,
        processing_class=bone.tokenizer,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        train_dataset=Dataset.from_list([{"prompt": "read"}] * 6),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            loss_type=loss_type,
            epsilon=EPSILON,
            epsilon_high=EPSILON_HIGH,
            max_completion_length=BUDGET,
            num_generations=GROUP,
            per_device_train_batch_size=6,
            temperature=1.0,
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
        ),
    )
    longest = max(map(len, PROMPTS))
    prompts = torch.tensor([[PAD] * (longest - len(p)) + p for p in PROMPTS for _ in range(GROUP)])  # left-padded
    real = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in PROMPTS for _ in range(GROUP)])
    trainer.model.train()
    trainer.beta = beta  # set here: in the config it would load a reference model, and ours is given below
    trainer.current_gradient_accumulation_steps = 1
    inputs = {
        "prompt_ids": prompts,
        "prompt_mask": real,
        "completion_ids": rollouts.reply_ids,
        "completion_mask": mask.long(),
        "advantages": advantages,
        "old_per_token_logps": old,
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }
    return trainer._compute_loss(trainer.model, inputs)


@pytest.mark.parametrize("beta", [0.0, BETA])
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo", "bnpo"])
def test_the_loss_and_its_gradient_equal_trls(batch, loss_type, beta, tmp_path):
    bone = batch[0]
    gradients = []
    losses = []
    for loss in (our_loss(batch, loss_type, beta), their_loss(batch, loss_type, beta, tmp_path)):
        bone.causal_lm.zero_grad()
        loss.backward()
        losses.append(loss.detach())
        gradients.append({name: p.grad.clone() for name, p in bone.causal_lm.named_parameters() if p.grad is not None})
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        scale = float(gradients[1][name].abs().max())
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-4, atol=1e-5 * max(scale, 1e-3))


def test_the_loss_types_differ_on_this_batch(batch):
    values = {loss_type: our_loss(batch, loss_type, 0.0).item() for loss_type in ("grpo", "dr_grpo", "dapo")}
    assert len({round(value, 6) for value in values.values()}) == 3
