"""How much memory a training run needs, before it is started.

Entry point: `estimate_memory(read_shape(model), plan)`. Parameter counts are exact (the model is built without
memory, on torch's meta device); the rest follows the formulas below, worked out for the shared-prefix engine.

With P_w weights, P_t trained parameters, L layers, D width, V vocabulary, b bytes per value, and a micro-batch of
M groups, S = M (P + G T) tokens (each group's prompt once, every reply once):

    weights       P_w b                    LoRA adapters come on top in float32, as PEFT keeps them
    gradients     P_t t                    t = 4 with LoRA, else b
    optimizer     2 P_t t                  AdamW: two moments per trained parameter
    layer         S c b + a                what one layer keeps for its backward pass
                  c = 6 D + 2 Q + 2 K + 3 F          residuals and norms, queries and attention output [Q each], keys
                                                     and values [K each], gate, up and product [F each]
                  a = M G H T (P + T) w              replies' attention weights over prompt and reply, H heads;
                                                     w = 4 in float32, 6 in bfloat16: softmax runs in float32
    activations   L layer; with gradient checkpointing L (S D + 2 M P K) b: one vector per layer and token, and the
                  prompts' keys and values, which the replies read
    working       the larger of two that never meet: a layer (recomputed, if checkpointed) with its gradients, and the
                  log-probabilities of a chunk of C tokens, 4 C V 4: logits, kept, normalized, gradient
    key/value     2 L K b (B P + B G T)    prompts once, replies each; alive during sampling only
    item table    I D 4
    scores        4 min(B G I, 2^24)       rewards rank each reply's target over the catalog, in blocks
    item term     2 m D 4                  rows of the m items of an update, and their gradient
    reference     P_w b                    a frozen copy, where there is a KL term and no adapters

The items of an update are encoded with gradient after the micro-batches, a chunk of CHUNK tokens at a time: then a
chunk's activations stand where the micro-batch's stood. Activations and the key/value cache never live at the same time
either: the peak is the largest phase. Sliding windows are not subtracted. Not counted: what the CUDA context and
libraries take (about 0.5 GiB a process), allocator fragmentation.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, Qwen2Config

from reckon.errors import ConfigError
from reckon.methods.r2ec.item_term import CHUNK_TOKENS as ITEM_CHUNK
from reckon.models.hub import check_hub_id
from reckon.models.model_files import first_line
from reckon.models.precision import BYTES, DType
from reckon.models.scoring import SCORES_AT_ONCE
from reckon.rollout.sampling import CHUNK_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What of a decoder decides its memory."""

    parameters: int
    """All weights; tied embeddings count once."""
    linear_inputs_outputs: int
    """Sum over the linear layers that LoRA adapts of inputs + outputs: LoRA of rank r trains r times this."""
    layers: int
    hidden_size: int
    heads: int
    attention_size: int
    """Heads x head size: width of the queries (Q)."""
    key_value_size: int
    """Key/value heads x head size: width of the keys (K)."""
    intermediate_size: int
    vocab_size: int
    positions: int | None = None
    """Tokens of a prompt and its reply in all; None where the configuration names no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """The run whose memory is wanted."""

    prompts: int = 16
    """Prompts sampled at a time (B)."""
    group_size: int = 8
    """Replies per prompt (G)."""
    prompt_length: int = 512
    """Tokens per prompt (P)."""
    reply_length: int = 128
    """Tokens per reply (T)."""
    micro_batch: int = 1
    """Groups per forward and backward pass."""
    lora_rank: int = 4
    """Rank of the adapters; 0: full fine-tuning."""
    dtype: DType = "bfloat16"
    gradient_checkpointing: bool = True
    items: int = 0
    """Items in the catalog (I)."""
    batch_items: int = 0
    """Items that the item term of an update encodes (m); 0 without one."""
    item_length: int = 64
    """Tokens per item prompt."""
    reference: bool = False
    """Whether there is a KL term, and so a reference policy."""

    def __post_init__(self) -> None:
        for name in ("prompts", "group_size", "prompt_length", "reply_length", "micro_batch"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "nothing would be run", "set it to 1 or more")
        if self.lora_rank < 0:
            raise ConfigError("lora_rank", self.lora_rank, "a rank cannot be negative", "use 0 for full fine-tuning")


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by purpose."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int
    key_value_cache: int
    item_table: int
    scores: int
    item_term: int
    item_activations: int
    """Activations of a chunk of item prompts and what their backward pass works with."""
    reference: int

    @property
    def _always(self) -> int:
        return self.weights + self.optimizer + self.item_table + self.reference

    @property
    def sampling(self) -> int:
        """Peak while replies are sampled and rewarded."""
        return self._always + max(self.key_value_cache, self.scores)

    @property
    def update(self) -> int:
        """Peak while the loss is computed and differentiated."""
        passes = max(self.activations + self.working, self.item_activations)
        return self._always + self.gradients + self.item_term + passes

    @property
    def peak(self) -> int:
        return max(self.sampling, self.update)


def estimate_memory(shape: ModelShape, plan: MemoryPlan) -> MemoryEstimate:
    """Bytes that a run needs on one device; formulas in the module docstring."""
    size = BYTES[plan.dtype]
    adapter = plan.lora_rank * shape.linear_inputs_outputs
    trained, trained_size = (adapter, BYTES["float32"]) if plan.lora_rank else (shape.parameters, size)
    group_tokens = plan.prompt_length + plan.group_size * plan.reply_length
    replies = plan.micro_batch * plan.group_size
    activations, working = _activations(
        shape, plan, plan.micro_batch * plan.prompt_length, replies * plan.reply_length, replies
    )
    chunk_tokens = min(ITEM_CHUNK, plan.batch_items * plan.item_length)
    chunk = min(CHUNK_TOKENS, plan.micro_batch * plan.group_size * plan.reply_length)
    logprobs = 4 * chunk * shape.vocab_size * BYTES["float32"]
    return MemoryEstimate(
        weights=shape.parameters * size + adapter * BYTES["float32"],
        gradients=trained * trained_size,
        optimizer=2 * trained * trained_size,
        activations=activations,
        working=max(working, logprobs),
        key_value_cache=2 * shape.layers * shape.key_value_size * size * plan.prompts * group_tokens,
        item_table=plan.items * shape.hidden_size * BYTES["float32"],
        scores=min(plan.prompts * plan.group_size * plan.items, SCORES_AT_ONCE) * BYTES["float32"],
        item_term=2 * plan.batch_items * shape.hidden_size * BYTES["float32"],
        item_activations=sum(_activations(shape, plan, chunk_tokens, 0, 0)),
        reference=shape.parameters * size if plan.reference and not plan.lora_rank else 0,
    )


def _activations(
    shape: ModelShape, plan: MemoryPlan, prompt_tokens: int, reply_tokens: int, replies: int
) -> tuple[int, int]:
    """Bytes kept for the backward pass, and bytes that one layer's backward pass works with.

    `reply_tokens` are read by the shared prefix, which keeps attention weights; `prompt_tokens` by a fused kernel.
    """
    size = BYTES[plan.dtype]
    tokens = prompt_tokens + reply_tokens
    per_token = (
        6 * shape.hidden_size + 2 * shape.attention_size + 2 * shape.key_value_size + 3 * shape.intermediate_size
    )
    weights = replies * shape.heads * plan.reply_length * (plan.prompt_length + plan.reply_length)
    layer = tokens * per_token * size + weights * (4 if size == 4 else 4 + size)
    if not plan.gradient_checkpointing:
        return shape.layers * layer, layer
    kept = tokens * shape.hidden_size + 2 * prompt_tokens * shape.key_value_size
    # The gradients of a layer's tensors are never all alive at once: measured, about three quarters of the layer.
    return shape.layers * kept * size, layer * 7 // 4


def read_shape(model: str) -> ModelShape:
    """The shape of a model given as a folder, a hub id, or `layers=24,hidden=896,…`.

    Raises:
        ConfigError: the folder or id has no readable config, or the shape is incomplete.
        CheckpointError: there is no such folder, or the hub does not answer.
    """
    if "=" in model:
        return replace(shape_of(_config_of_numbers(model)), positions=None)
    return shape_of(_load_config(model))


def shape_of(config: PretrainedConfig) -> ModelShape:
    """Count the parameters of the model that a config describes, without giving it memory."""
    text = config.get_text_config()
    with init_empty_weights(include_buffers=True):
        model = AutoModelForCausalLM.from_config(config)
        model.tie_weights()
    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    key_value_heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    return ModelShape(
        parameters=sum(p.numel() for p in model.parameters()),
        linear_inputs_outputs=sum(linear.in_features + linear.out_features for linear in linears),
        layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        heads=text.num_attention_heads,
        attention_size=text.num_attention_heads * head_size,
        key_value_size=key_value_heads * head_size,
        intermediate_size=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocab_size=text.vocab_size,
        positions=getattr(text, "max_position_embeddings", None),
    )


def _load_config(model: str) -> PretrainedConfig:
    fix = f"name a folder with a config.json, or give a shape such as {EXAMPLE_SHAPE}"
    if Path(model).exists() and not (Path(model) / "config.json").exists():
        raise ConfigError("model", model, "the folder has no config.json", fix)
    if not Path(model).is_dir():
        check_hub_id(model)
    try:
        return AutoConfig.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # of whatever kind: a damaged config is the user's to mend
        raise ConfigError("model", model, f"its config cannot be read ({first_line(error)})", fix) from None


# Names as short as a command line wants them, and what a Hugging Face config calls them.
SHAPE_FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "intermediate": "intermediate_size",
    "vocab": "vocab_size",
    "tied": "tie_word_embeddings",
}
EXAMPLE_SHAPE = "layers=24,hidden=896,heads=14,kv_heads=2,intermediate=4864,vocab=151936,tied=1"


def _config_of_numbers(text: str) -> PretrainedConfig:
    """A Qwen2 decoder of the given numbers; other families of the same numbers differ by well under 1 %."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, _, number = part.strip().partition("=")
        if name not in SHAPE_FIELDS or not number.isdecimal():
            raise ConfigError("model", text, f"{part.strip()!r} is no part of a shape", f"write {EXAMPLE_SHAPE}")
        values[SHAPE_FIELDS[name]] = int(number)
    missing = [name for name, field in SHAPE_FIELDS.items() if field not in values and name != "tied"]
    if missing:
        raise ConfigError("model", text, f"the shape lacks {', '.join(missing)}", f"write {EXAMPLE_SHAPE}")
    values["tie_word_embeddings"] = bool(values.get("tie_word_embeddings", 0))
    return Qwen2Config(**values)
