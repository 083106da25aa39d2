"""Several updates of the same replies: the same weights as a loop that is written out, with ratio and clip."""

import copy

import pytest
import torch
from support.tiny import backbone
from torch.nn.functional import log_softmax
from transformers import TrainingArguments

from reckon.errors import ConfigError
from reckon.rl.grpo import GRPOSettings
from reckon.rl.policy_trainer import ExampleRows, PolicySettings, PolicyTrainer
from reckon.rollout import SamplingConfig, SharedPrefixEngine

PROMPTS = [[5, 9, 20, 7], [30, 31, 6, 8, 12, 44]]
GROUP, BUDGET, RATE, EPSILON, NORM = 3, 6, 2.0, 0.05, 1.0
SAMPLING = SamplingConfig(max_completion_length=BUDGET)


class Toy(PolicyTrainer):
    """Rewards replies for low token ids; plain gradient descent."""

    appends_marker = False

    def prompt_ids(self, example):
        return PROMPTS[example]

    def score(self, rollouts, examples):
        return reward(rollouts)

    def create_optimizer(self, model=None):
        self.optimizer = torch.optim.SGD(self.backbone.causal_lm.parameters(), lr=RATE)
        return self.optimizer


def reward(rollouts):
    return -(rollouts.reply_ids * rollouts.sampled).sum(dim=1) / rollouts.lengths / 100


def trained(bone, path, updates, micro_batch_size=2):
    """The log entry of one step."""
    grpo = GRPOSettings(num_generations=GROUP, epsilon=EPSILON, epsilon_high=EPSILON, updates_per_rollout=updates)
    trainer = Toy(
        model=bone.model,
        args=TrainingArguments(
            output_dir=str(path),
            per_device_train_batch_size=2,
            max_steps=1,
            max_grad_norm=NORM,
            learning_rate=RATE,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=0,
        ),
        train_dataset=ExampleRows([0, 1]),
        backbone=bone,
        marker="</rate>",
        settings=PolicySettings(SAMPLING, grpo, micro_batch_size),
    )
    trainer.train()
    return next(entry for entry in trainer.state.log_history if "loss" in entry)


def written_out(bone, order, updates):
    """The same by hand: every reply in a forward pass of its own, one optimiser step an update."""
    engine = SharedPrefixEngine(bone, "</rate>", appends_marker=False)
    prompts = [PROMPTS[row] for row in order]
    rollouts = engine.sample(prompts, SAMPLING, num_generations=GROUP, generator=torch.Generator().manual_seed(0))
    rewards = reward(rollouts).view(-1, GROUP)
    advantages = ((rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std(dim=1, keepdim=True) + 1e-6)).flatten()
    optimizer = torch.optim.SGD(bone.causal_lm.parameters(), lr=RATE)
    clipped = []
    for _ in range(updates):
        loss = 0.0
        for row in range(len(rollouts)):
            prompt, length = prompts[row // GROUP], int(rollouts.lengths[row])
            reply = rollouts.reply_ids[row, :length]
            logits = bone.causal_lm(torch.tensor([prompt + reply.tolist()])).logits[0, len(prompt) - 1 : -1]
            logprobs = log_softmax(logits, dim=-1).gather(1, reply[:, None])[:, 0]
            ratio = (logprobs - rollouts.logprobs[row, :length]).exp()
            bounded = ratio.clamp(1 - EPSILON, 1 + EPSILON)
            clipped.append(float((ratio != bounded).float().mean()))
            loss = loss - torch.minimum(ratio * advantages[row], bounded * advantages[row]).mean() / len(rollouts)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bone.causal_lm.parameters(), NORM)
        optimizer.step()
    return max(clipped)


def parameters(bone):
    return dict(bone.causal_lm.named_parameters())


@pytest.mark.parametrize(("updates", "micro_batch_size"), [(1, 2), (3, 2), (3, 1)])
def test_the_weights_are_those_of_the_written_out_loop(tmp_path, updates, micro_batch_size):
    ours = backbone()
    start = copy.deepcopy(ours.causal_lm.state_dict())
    entry = trained(ours, tmp_path, updates, micro_batch_size)
    closest = []
    for order in ([0, 1], [1, 0]):  # the loader's shuffle
        theirs = backbone()
        theirs.causal_lm.load_state_dict(start)
        clipped = written_out(theirs, order, updates)
        gaps = [float((mine - parameters(theirs)[name]).abs().max()) for name, mine in parameters(ours).items()]
        closest.append((max(gaps), clipped))
    gap, clipped = min(closest)
    assert gap < 1e-4
    moved = max(float((parameters(ours)[name] - start[name]).abs().max()) for name in parameters(ours))
    assert moved > 100 * gap
    assert (entry["clip_share"] > 0) == (clipped > 0) == (updates > 1), "the clip acts from the second update on"
    assert entry["logprob_gap"] < 1e-4, "the gap is that of the first update, whose policy has sampled"


def test_a_rollout_without_an_update_is_refused():
    with pytest.raises(ConfigError, match="updates_per_rollout = 0"):
        GRPOSettings(updates_per_rollout=0)
