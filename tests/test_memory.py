"""The memory estimate: exact where the formula is exact, near the measured peak where it is not."""

import weakref
from dataclasses import replace

import pytest
import torch
from support import tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoModelForCausalLM, Qwen2Config

from reckon.data import Example
from reckon.errors import ConfigError
from reckon.memory import MemoryPlan, estimate_memory, read_shape, shape_of
from reckon.methods.r2ec.config import HeadConfig
from reckon.methods.r2ec.item_term import ItemTerm
from reckon.models import Backbone
from reckon.models.backbone import LoraSettings, load_backbone
from reckon.rollout.sampling import SamplingConfig, token_logprobs

# Published: https://huggingface.co/Qwen/Qwen2.5-0.5B says 0.49 B parameters, 0.36 B without the embedding.
QWEN_HALF_B = "layers=24,hidden=896,heads=14,kv_heads=2,intermediate=4864,vocab=151936,tied=1"
PLAN = MemoryPlan(dtype="float32", lora_rank=0)


class PeakMemory(TorchDispatchMode):
    """Bytes of all tensors that were made inside and were alive at the same time, at their most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage()) not in self.seen:
                self.seen[storage] = True
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.free, storage.nbytes())
        return result

    def free(self, size: int) -> None:
        self.now -= size


def test_a_published_model_has_its_published_size():
    shape = read_shape(QWEN_HALF_B)
    assert shape.parameters == 494_032_768
    assert shape.parameters - shape.vocab_size * shape.hidden_size == pytest.approx(0.36e9, rel=0.01)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_parameters_are_those_of_the_real_model(family):
    config = tiny.config(family)
    real = AutoModelForCausalLM.from_config(config)
    assert shape_of(config).parameters == sum(p.numel() for p in real.parameters())


@pytest.mark.parametrize("rank", [1, 4])
def test_lora_trains_what_peft_adds(tmp_path, rank):
    tiny.model("qwen2").save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    backbone = load_backbone(tmp_path, lora=LoraSettings(r=rank), device="cpu")
    trained = sum(p.numel() for p in backbone.model.parameters() if p.requires_grad)
    assert estimate_memory(read_shape(str(tmp_path)), replace(PLAN, lora_rank=rank)).gradients == 4 * trained


def test_adamw_holds_what_is_estimated():
    model = tiny.model("llama")
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    held = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.ndim > 0)
    assert estimate_memory(shape_of(tiny.config("llama")), PLAN).optimizer == held


def test_recorded_and_cached_keys_and_values_are_those_estimated():
    backbone = tiny.backbone("qwen3")
    with backbone.evaluating():
        states, _ = backbone.read_prompts(backbone.pad([[2] * 9] * 3))
        reader = states.reader(group_size=2, capacity=5)
        backbone.read_replies(torch.full((6, 1), 3), reader)
    held = sum(t.nbytes for side in (states.keys, states.values) for t in side.values())
    held += sum(t.nbytes for pair in reader._own.values() for t in pair)
    plan = replace(PLAN, prompts=3, group_size=2, prompt_length=9, reply_length=5)
    assert estimate_memory(shape_of(tiny.config("qwen3")), plan).key_value_cache == held


@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize(("prompt_length", "reply_length", "vocab"), [(320, 64, 4000), (64, 128, 500)])
def test_the_peak_of_an_update_is_near_the_measured_one(checkpointing, prompt_length, reply_length, vocab):
    groups, group_size = 2, 4
    config = Qwen2Config(
        num_hidden_layers=6, hidden_size=128, num_attention_heads=8, num_key_value_heads=2,
        intermediate_size=512, vocab_size=vocab, tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    backbone = Backbone(AutoModelForCausalLM.from_config(config), tiny.tokenizer())
    if checkpointing:
        backbone.model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    backbone.model.train()
    replies = torch.randint(1, vocab, (groups * group_size, reply_length))
    with PeakMemory() as memory:
        states, _ = backbone.read_prompts(backbone.pad([[1] * prompt_length] * groups))
        hidden = backbone.read_replies(replies, states.reader(group_size))
        mask = torch.ones_like(replies, dtype=torch.bool)
        logprobs, _ = token_logprobs(backbone, hidden, replies, mask, SamplingConfig())
        logprobs.mean().backward()
    plan = MemoryPlan(
        micro_batch=groups, group_size=group_size, prompt_length=prompt_length, reply_length=reply_length,
        lora_rank=0, dtype="float32", gradient_checkpointing=checkpointing,
    )  # fmt: skip
    estimate = estimate_memory(shape_of(config), plan)
    expected = estimate.gradients + estimate.activations + estimate.working
    assert expected == pytest.approx(memory.peak, rel=0.25)


@pytest.mark.parametrize(("items", "length", "width"), [(24, 110, 128), (400, 20, 128), (60, 40, 64)])
def test_the_peak_of_an_item_term_is_near_the_measured_one(items, length, width):
    config = Qwen2Config(
        num_hidden_layers=6, hidden_size=width, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=4 * width, vocab_size=300, tie_word_embeddings=True, pad_token_id=0,
    )  # fmt: skip
    backbone = Backbone(AutoModelForCausalLM.from_config(config), tiny.tokenizer())
    prompts = [[1 + item % 200] * length for item in range(items)]
    term = ItemTerm(backbone, HeadConfig(negatives="catalog"), prompts, torch.zeros(items))
    example = Example("u", (), 3, None)
    with PeakMemory() as memory:
        term.begin([example], torch.Generator())
        term.target_logprobs(torch.ones(1, width), [example]).sum().backward()
        term.finish()
    plan = replace(PLAN, batch_items=items, item_length=length, gradient_checkpointing=False)
    estimate = estimate_memory(shape_of(config), plan)
    expected = estimate.gradients + estimate.item_term + estimate.item_activations
    assert expected == pytest.approx(memory.peak, rel=0.25)


def test_a_reference_policy_costs_a_copy_of_the_weights_without_adapters_alone():
    shape, plan = read_shape(QWEN_HALF_B), replace(PLAN, reference=True)
    assert estimate_memory(shape, plan).reference == 4 * shape.parameters
    assert estimate_memory(shape, replace(plan, lora_rank=4)).reference == 0


def test_scores_of_a_large_catalog_come_in_blocks():
    shape = read_shape(QWEN_HALF_B)
    assert estimate_memory(shape, replace(PLAN, items=1_000)).scores == 16 * 8 * 1_000 * 4
    assert estimate_memory(shape, replace(PLAN, items=10_000_000)).scores == 64 << 20


def test_sharing_the_prefix_caches_each_prompt_once():
    shape = read_shape(QWEN_HALF_B)
    one = estimate_memory(shape, replace(PLAN, prompts=1, group_size=1, prompt_length=500, reply_length=100))
    eight = estimate_memory(shape, replace(PLAN, prompts=1, group_size=8, prompt_length=500, reply_length=100))
    assert eight.key_value_cache / one.key_value_cache == pytest.approx((500 + 8 * 100) / 600)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("layers=2,hidden=8", "the shape lacks heads, kv_heads, intermediate, vocab"),
        ("layers=two", "'layers=two' is no part of a shape"),
        ("no/such-model", "its config cannot be read"),
    ],
)
def test_an_unreadable_model_is_refused(model, message):
    with pytest.raises(ConfigError, match=message):
        read_shape(model)


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        read_shape(str(tmp_path))


def test_an_empty_plan_is_refused():
    with pytest.raises(ConfigError, match="group_size = 0"):
        MemoryPlan(group_size=0)
