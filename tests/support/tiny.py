"""Tiny random models of real architectures and tokenizers trained in code: what the tests run on."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    SeedOssConfig,
)

from reckon.models import Backbone
from reckon.prompts.r2ec import MARKER

TEXT = ["read: [The Quiet Harbour] [The Black Tide]", "a calm sea book <answer>", "the next book is dark crime 0 1 2 3"]
SHAPE = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
)
SLIDING = dict(sliding_window=6)  # shorter than the tests' prompts, so the window matters


def tokenizer(marker_is_one_token: bool = True, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; the marker is one token or several."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>"] + ([MARKER] if marker_is_one_token else [])
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = chat_template
    return fast


def config(family: str, vocab_size: int = 320, **changes):
    """The configuration of a tiny model of one family."""
    common = SHAPE | dict(vocab_size=vocab_size, pad_token_id=0, eos_token_id=1, bos_token_id=1) | changes
    match family:
        case "qwen2":
            return Qwen2Config(**common, use_sliding_window=True, max_window_layers=1, **SLIDING)
        case "qwen3":
            return Qwen3Config(**common)
        case "llama":
            return LlamaConfig(**common)
        case "gemma2":
            return Gemma2Config(
                **common, query_pre_attn_scalar=8, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **SLIDING
            )
        case "gemma3":
            return Gemma3TextConfig(
                **common,
                query_pre_attn_scalar=8,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                **SLIDING,
            )
        case "seed_oss":  # what `reckon backbone new` builds
            return SeedOssConfig(**common, attention_out_bias=False, attention_dropout=0.0, residual_dropout=0.0)
    raise ValueError(family)


FAMILIES = ("qwen2", "qwen3", "llama", "gemma2", "gemma3", "seed_oss")


def model(family: str = "qwen2", seed: int = 0, spread: float = 6.0, **changes):
    """A random model; weights are spread so that its attention and its predictions are far from uniform."""
    torch.manual_seed(seed)
    built = AutoModelForCausalLM.from_config(config(family, **changes))
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(spread)
    return built.eval()


def backbone(family: str = "qwen2", *, marker_is_one_token: bool = True, seed: int = 0, **changes) -> Backbone:
    """A tiny random model with its tokenizer."""
    return Backbone(model(family, seed, **changes), tokenizer(marker_is_one_token))
