"""Tiny GGUF files written with the package gguf, and wheels around them: what the tests of `backbone import` read."""

import json
import zipfile

import gguf
import torch
from gguf.constants import MODEL_ARCH, GGMLQuantizationType
from transformers import AutoModelForCausalLM, Lfm2Config

from reckon.backbone_import.wheels import WheelModel
from reckon.files import file_sha256
from support.tiny import SHAPE, config, tokenizer

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma2", "lfm2")  # lfm2 goes through the newer of transformers' readers
CHAT = "{% for turn in messages %}read: {{ turn['content'] }} reasoning:{% endfor %}"
LICENCE = "mit"


# What transformers assumes where its metadata mapping has no key: full attention in a Qwen 2,
# a Qwen 3's head size, a Gemma 2's caps.
ASSUMED = {
    "qwen2": {"layer_types": ["full_attention"] * 3},
    "qwen3": {"head_dim": 128},
    "gemma2": {"query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
}


def original(architecture):
    """A tiny random model of that architecture, with the tiny tokenizer's vocabulary."""
    vocabulary = len(tokenizer())
    if architecture != "lfm2":
        settings = config(architecture, vocabulary)
        for name, value in ASSUMED.get(architecture, {}).items():
            setattr(settings, name, value)
    else:
        shape = {name: value for name, value in SHAPE.items() if name != "head_dim"}
        settings = Lfm2Config(
            **shape,
            vocab_size=vocabulary,
            layer_types=["conv", "full_attention", "conv"],
            block_auto_adjust_ff_dim=False,
            tie_word_embeddings=True,
        )
    torch.manual_seed(0)
    built = AutoModelForCausalLM.from_config(settings)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3.0)  # far from uniform predictions
    return built.eval()


def write_gguf(path, architecture="llama", built=None, quantise=True, name="Tiny", without=(), chat_template=CHAT):
    """A model of that architecture with the tiny tokenizer as a GGUF file; matrices in blocks of 8 bits.

    Args:
        without: tensors that are left out.
    """
    built = built or original(architecture)
    about = built.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_license(LICENCE)
    writer.add_context_length(about.max_position_embeddings)
    writer.add_embedding_length(about.hidden_size)
    writer.add_block_count(about.num_hidden_layers)
    writer.add_feed_forward_length(about.intermediate_size)
    writer.add_head_count(about.num_attention_heads)
    heads = about.num_key_value_heads
    if architecture == "lfm2":
        heads = [heads if kind == "full_attention" else 0 for kind in about.layer_types]
        writer.add_shortconv_l_cache(about.conv_L_cache)
        writer.add_layer_norm_rms_eps(about.norm_eps)
    else:
        writer.add_layer_norm_rms_eps(about.rms_norm_eps)
        writer.add_key_length(about.head_dim)
        writer.add_value_length(about.head_dim)
    writer.add_head_count_kv(heads)
    writer.add_rope_freq_base(about.rope_parameters["rope_theta"])
    writer.add_vocab_size(about.vocab_size)
    if architecture == "gemma2":
        writer.add_sliding_window(about.sliding_window)
        writer.add_attn_logit_softcapping(about.attn_logit_softcapping)
        writer.add_final_logit_softcapping(about.final_logit_softcapping)
    _add_tokenizer(writer, chat_template)
    arch = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    _add_weights(writer, arch, built, quantise, without)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer, chat_template):
    words = tokenizer()
    told = json.loads(words.backend_tokenizer.to_str())
    tokens = [token for token, _ in sorted(words.get_vocab().items(), key=lambda pair: pair[1])]
    special = {token["content"] for token in told["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    merges = told["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(words.eos_token_id)
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_pad_token_id(words.pad_token_id)
    if chat_template:
        writer.add_chat_template(chat_template)


def _add_weights(writer, arch, built, quantise, without):
    names = gguf.get_tensor_name_map(arch, built.config.num_hidden_layers)
    tied = built.config.tie_word_embeddings
    for name, weight in built.state_dict().items():
        if tied and name == "lm_head.weight":
            continue
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        if stored in without:
            continue
        values = _layout(arch, name, weight.float(), built.config).numpy()
        if quantise and values.ndim == 2 and "conv" not in name:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(stored, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, values)


def _layout(arch, name, weight, config):
    """A weight as llama.cpp keeps it: rotated halves of Llama's queries and keys lie side by side, Gemma's norms are
    one more."""
    if arch == MODEL_ARCH.LLAMA and ("q_proj" in name or "k_proj" in name):
        heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
        weight = weight.view(heads, 2, -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
    if arch == MODEL_ARCH.GEMMA2 and "norm" in name:
        weight = weight + 1
    if "conv.conv" in name:
        weight = weight.squeeze(1)
    return weight.contiguous()


def write_wheel(path, files):
    """A wheel of that path with files by their names, as bytes or from a path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


def known(wheel, inside, **changes):
    """The entry of the table for a wheel that a test has written."""
    return WheelModel(
        **{
            "project": "tiny-model",
            "version": "1.0",
            "sha256": file_sha256(wheel),
            "inside": inside,
            "title": "Tiny",
            "licence": "apache-2.0",
        }
        | changes
    )
