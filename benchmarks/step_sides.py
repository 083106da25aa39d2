"""The same training step three times: Reckon with a shared prefix, Reckon's step without it, and TRL's GRPOTrainer.

Entry points: `StepShape` (sizes) and `run_side`, which trains for some steps and calls back around each. All sides get
the same random model, the same prompts, the same reward and transformers' own training loop; a step is everything
between `on_step_begin` and `on_step_end`: sampling, reward, forward, backward, clipping and AdamW.

Replies have a fixed length on every side. The end-of-text id lies one past the model's vocabulary, so nobody can
sample it, and Reckon's marker is made unable to end a reply. Reckon then appends its marker, so it decodes and trains
on one token more per reply than the others.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    TrainerCallback,
    TrainingArguments,
)

from reckon.models import Backbone
from reckon.models.scoring import target_ranks
from reckon.prompts.r2ec import MARKER
from reckon.rl.grpo import GRPOSettings
from reckon.rl.objective import token_losses
from reckon.rl.policy_trainer import PolicySettings, PolicyTrainer
from reckon.rollout import Rollouts, SamplingConfig, token_logprobs
from reckon.rollout.marker import StopMarker
from reckon.rollout.rollouts import LENGTH_FINISH

Side = Literal["reckon", "unshared", "trl"]
SIDES: tuple[Side, ...] = ("reckon", "unshared", "trl")
EPSILON = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """Sizes of the step and of the random Qwen2 model; the defaults are the 4 M parameter benchmark."""

    prompts: int = 4
    prompt_tokens: int = 320
    group: int = 8
    reply_tokens: int = 64
    vocab: int = 4096
    width: int = 256
    intermediate: int = 768
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    dtype: Literal["float32", "bfloat16"] = "float32"
    lora_rank: int = 0
    checkpointing: bool = False
    device: str = "cpu"
    catalog: int = 0
    """Items among which Reckon's sides rank every trajectory's target, as R2ec's reward does; 0: a reward that costs
    nothing, the same on all sides."""

    @property
    def rows(self) -> int:
        """Trajectories of one step, N = B * G."""
        return self.prompts * self.group


QUICK = StepShape(prompts=2, prompt_tokens=12, group=2, reply_tokens=4, vocab=64, width=16, intermediate=32, layers=2)


def make_model(shape: StepShape) -> PreTrainedModel:
    """The random model, the same for the same shape."""
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    with torch.device(shape.device):
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, shape.dtype), attn_implementation="sdpa")
    if shape.lora_rank:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=shape.lora_rank, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, lora)
    if shape.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def make_tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """One word, one token. The end-of-text id is one past what the model can sample."""
    words = {"<pad>": 0, MARKER: 1, **{f"w{index}": index for index in range(2, vocab)}, "<eos>": vocab}
    level = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    level.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=level, pad_token="<pad>", eos_token="<eos>", padding_side="left")


def make_prompts(shape: StepShape, count: int) -> list[str]:
    """Random prompts of exactly `prompt_tokens` tokens."""
    ids = torch.randint(2, shape.vocab, (count, shape.prompt_tokens), generator=torch.Generator().manual_seed(1))
    return [" ".join(f"w{index}" for index in row) for row in ids.tolist()]


def reward_of(completion_ids: Sequence[Sequence[int]]) -> list[float]:
    """A reward that costs nothing: the share of even token ids."""
    return [sum(token % 2 == 0 for token in ids) / len(ids) for ids in completion_ids]


class FixedLength(StopMarker):
    """A marker that is only ever appended: sampling it does not end a reply."""

    def ended(self, tokens: Tensor, replies: Tensor) -> Tensor:
        return torch.zeros_like(tokens, dtype=torch.bool)


class SharedTrainer(PolicyTrainer):
    """Reckon's policy trainer as it is, with a cheap reward or the ranks of random targets."""

    reward_seconds = phase_end = 0.0

    def __init__(self, *args: Any, catalog: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.engine.marker = FixedLength(MARKER, self.backbone)
        self.item_table = torch.randn(catalog, self.backbone.hidden_size, device=self.backbone.device)

    def prompt_ids(self, example: Any) -> list[int]:
        return self.backbone.tokenize([example])[0]

    def score(self, rollouts: Rollouts, examples: Sequence[Any]) -> Tensor:
        started = clock(self.backbone.device)
        rewards = self.rewards(rollouts)
        self.reward_seconds = clock(self.backbone.device) - started
        return rewards

    def rewards(self, rollouts: Rollouts) -> Tensor:
        if not len(self.item_table):
            rewards = reward_of(rollouts.reply_ids[:, : self.settings.sampling.max_completion_length].tolist())
            return torch.tensor(rewards, device=rollouts.reply_ids.device)
        targets = torch.arange(len(rollouts)) % len(self.item_table)
        ranks = target_ranks(rollouts.hidden.float(), self.item_table, targets)
        return (1 / torch.log2(1 + ranks.float())).to(rollouts.reply_ids.device)

    def begin_update(self, examples: Sequence[Any], first: bool) -> None:
        self.phase_end = clock(self.backbone.device)


class PlainEngine:
    """Sampling with transformers' own cache over every prompt repeated G times, with the stock attention."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def sample(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        *,
        num_generations: int,
        generator: torch.Generator,
        with_entropy: bool = False,  # as the engine has it; RecPO asks for none
    ) -> Rollouts:
        backbone, batch = self.backbone, self.backbone.pad(prompts)
        ids = batch.ids.repeat_interleave(num_generations, 0)  # [N, P]
        rows, steps, tokens, logprobs = len(ids), sampling.max_completion_length, [], []
        with backbone.evaluating():
            cache = DynamicCache(config=backbone.causal_lm.config)
            for _ in range(steps):
                hidden = backbone.decoder(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
                distribution = backbone.logits(hidden[:, -1]).log_softmax(dim=-1)  # [N, V]
                ids = torch.multinomial(distribution.exp(), 1, generator=generator)
                tokens.append(ids)
                logprobs.append(distribution.gather(1, ids))
        reply_ids = torch.cat(tokens, dim=1)
        return Rollouts(
            prompts=batch, reply_ids=reply_ids, sampled=torch.ones_like(reply_ids, dtype=torch.bool),
            logprobs=torch.cat(logprobs, dim=1), lengths=torch.full((rows,), steps, device=ids.device),
            hidden=hidden[:, -1], finish=(LENGTH_FINISH,) * rows,
        )  # fmt: skip


class UnsharedTrainer(SharedTrainer):
    """The same step where every trajectory carries its own copy of the prompt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backbone.causal_lm.set_attn_implementation("sdpa")
        self.engine = PlainEngine(self.backbone)  # type: ignore[assignment]

    def _token_loss(
        self, part: Rollouts, weights: Tensor, advantages: Tensor, *, first: bool = True
    ) -> tuple[Tensor, Tensor]:
        size = self.settings.grpo.num_generations
        prompts, replies = part.prompts.ids.repeat_interleave(size, 0), part.reply_ids
        whole = torch.cat([prompts, replies], dim=1)  # [n, P + T]
        hidden = self.backbone.decoder(input_ids=whole, use_cache=False).last_hidden_state
        predicting = hidden[:, prompts.shape[1] - 1 : -1]  # [n, T, D]
        mask, old = part.sampled, part.logprobs
        logprobs, entropy = token_logprobs(self.backbone, predicting, replies, mask, self.settings.sampling)
        losses = token_losses(logprobs, old, weights, advantages.flatten(), EPSILON, EPSILON)
        gap, tokens = (logprobs.detach() - old).abs().sum(), mask.sum()
        self._tally(tokens=tokens, first_tokens=tokens, entropy=entropy.sum(), logprob_gap=gap)
        return losses.sum(), hidden[:, -1]


def clock(device: torch.device | str) -> float:
    """Seconds, after everything queued on an accelerator has run."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def common_arguments(shape: StepShape, steps: int, out: str) -> dict[str, Any]:
    """What both kinds of trainer are told: same optimiser, no logging, no checkpoints, no mixed precision."""
    return dict(
        output_dir=out, max_steps=steps, learning_rate=1e-5, lr_scheduler_type="constant", max_grad_norm=1.0,
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, remove_unused_columns=False,
        bf16=False, use_cpu=shape.device == "cpu", seed=0,
    )  # fmt: skip


def reckon_trainer(side: Side, shape: StepShape, steps: int, out: str) -> SharedTrainer:
    """Reckon's trainer, with or without the shared prefix."""
    backbone = Backbone(make_model(shape), make_tokenizer(shape.vocab))
    settings = PolicySettings(
        SamplingConfig(max_completion_length=shape.reply_tokens),
        GRPOSettings(num_generations=shape.group, epsilon=EPSILON, epsilon_high=EPSILON),
        micro_batch_size=shape.prompts,
    )  # fmt: skip
    kind = SharedTrainer if side == "reckon" else UnsharedTrainer
    arguments = common_arguments(shape, steps, out)
    return kind(
        model=backbone.model, backbone=backbone, settings=settings, marker=MARKER,
        args=TrainingArguments(per_device_train_batch_size=shape.prompts, **arguments),
        train_dataset=make_prompts(shape, shape.prompts * steps), catalog=shape.catalog,
    )  # fmt: skip


def trl_trainer(shape: StepShape, steps: int, out: str) -> Any:
    """TRL's GRPOTrainer: one generation and one update per step, no reference model, no mixed precision."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    class TimedGRPOTrainer(GRPOTrainer):
        reward_seconds = phase_end = 0.0

        def _calculate_rewards(self, *args: Any) -> Any:
            started = clock(self.accelerator.device)
            rewards = super()._calculate_rewards(*args)
            self.reward_seconds = clock(self.accelerator.device) - started
            return rewards

        def _generate_and_score_completions(self, inputs: Any) -> Any:
            scored = super()._generate_and_score_completions(inputs)
            self.phase_end = clock(self.accelerator.device)
            return scored

    arguments = common_arguments(shape, steps, out)
    config = GRPOConfig(
        per_device_train_batch_size=shape.rows, num_generations=shape.group, steps_per_generation=1, num_iterations=1,
        max_completion_length=shape.reply_tokens, temperature=1.0, beta=0.0, epsilon=EPSILON, loss_type="grpo",
        # The model checkpoints or not as it was made; TRL turns it off to generate, and on again with these arguments.
        gradient_checkpointing=False, gradient_checkpointing_kwargs={"use_reentrant": False}, **arguments,
    )  # fmt: skip
    return TimedGRPOTrainer(
        model=make_model(shape), processing_class=make_tokenizer(shape.vocab), args=config,
        reward_funcs=lambda prompts, completions, completion_ids, **_: reward_of(completion_ids),
        train_dataset=Dataset.from_list([{"prompt": text} for text in make_prompts(shape, shape.prompts * steps)]),
    )  # fmt: skip


class _AroundSteps(TrainerCallback):
    """Calls `before` as a step begins, and `after` with its seconds as it ends."""

    def __init__(self, trainer: Any, before: Callable[[], None], after: Callable[[dict[str, float]], None]) -> None:
        self.trainer, self.before, self.after = trainer, before, after
        self.started = self.cpu_started = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.before()
        self.started, self.cpu_started = clock(self.trainer.args.device), time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        ended = clock(self.trainer.args.device)
        reward, phase_end = self.trainer.reward_seconds, self.trainer.phase_end
        self.after(
            {
                "rollout": phase_end - self.started - reward,
                "reward": reward,
                "update": ended - phase_end,
                "total": ended - self.started,
                "cpu": time.process_time() - self.cpu_started,
            }
        )


def run_side(
    side: Side,
    shape: StepShape,
    steps: int,
    *,
    ready: Callable[[], None],
    before: Callable[[], None],
    after: Callable[[dict[str, float]], None],
) -> None:
    """Train one side for some steps.

    Args:
        side: which implementation.
        shape: sizes of model and step.
        steps: optimiser steps.
        ready: called once when model and trainer stand and nothing has run.
        before: called as each step begins, outside its time; may wait.
        after: called as each step ends with the seconds of `rollout`, `reward`, `update` and `total`, and
            those the process spent on the CPU (`cpu`), which other programs on the machine disturb less.
    """
    with tempfile.TemporaryDirectory() as out:
        build = trl_trainer if side == "trl" else lambda *rest: reckon_trainer(side, *rest)
        trainer = build(shape, steps, out)
        trainer.add_callback(_AroundSteps(trainer, before, after))
        ready()
        trainer.train()


def shape_of(sizes: Mapping[str, Any], quick: bool = False) -> StepShape:
    """A shape from plain numbers; `quick` keeps the device and the kind of weights, and makes all sizes tiny."""
    shape = StepShape(**sizes)
    if not quick:
        return shape
    kept = {name: getattr(shape, name) for name in ("dtype", "lora_rank", "checkpointing", "device")}
    kept |= {name: min(getattr(shape, name), getattr(QUICK, name)) for name in ("prompts", "group")}
    return replace(QUICK, catalog=min(shape.catalog, 50), **kept)
