"""Tiny random models of many families: how each is read, and how far that is from one sequence at a time.

`python benchmarks/families.py` prints the table of docs/models.md, `--write` puts it there, and `--check` fails where
the page says something else of a family, its class or its way of reading. The differences hang on the processor; they
are shown as bounds and not checked.
"""

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from reckon.errors import ConfigError
from reckon.models import Backbone
from reckon.rollout import SamplingConfig, SharedPrefixEngine, sampled_logprobs

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
HEADER = "| family | class | replies read | log-probabilities differ by |\n| --- | --- | --- | --- |\n"
BOUNDS = (1e-5, 1e-4, 1e-3, 1e-2)
PROMPTS = [[5, 9, 40, 22, 31, 8, 99, 120, 45], [7, 17, 12], [60, 61, 62]]  # two of one length
GROUP, REPLY = 2, 6
VOCABULARY = 320
SIZE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=256,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=1,
)
MAMBA = dict(mamba_n_heads=8, mamba_d_head=8, mamba_n_groups=1, mamba_d_state=8, mamba_d_conv=4, mamba_expand=2)
DELTA_NET = dict(
    linear_num_key_heads=2,
    linear_num_value_heads=4,
    linear_key_head_dim=8,
    linear_value_head_dim=8,
    layer_types=["linear_attention", "full_attention"],
)
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
WINDOW = dict(sliding_window=6)  # shorter than the prompts
ALTERNATING = dict(layer_types=["sliding_attention", "full_attention"], **WINDOW)
GPT = dict(n_embd=32, n_layer=2, n_head=4, n_positions=256)

FAMILIES = {
    "Qwen2": ("qwen2", {}),
    "Qwen3": ("qwen3", {}),
    "Qwen3-MoE": ("qwen3_moe", EXPERTS),
    "Llama": ("llama", {}),
    "Gemma 2": (
        "gemma2",
        dict(query_pre_attn_scalar=8, attn_logit_softcapping=2.0, final_logit_softcapping=3.0, **ALTERNATING),
    ),
    "Gemma 3": ("gemma3_text", dict(query_pre_attn_scalar=8, **ALTERNATING)),
    "Gemma 3n": (
        "gemma3n_text",
        dict(
            vocab_size_per_layer_input=VOCABULARY,
            hidden_size_per_layer_input=8,
            laurel_rank=4,
            num_hidden_layers=4,
            num_kv_shared_layers=2,
            activation_sparsity_pattern=[0.0] * 4,
            intermediate_size=[64] * 4,
            altup_num_inputs=2,
            layer_types=["sliding_attention", "full_attention"] * 2,
            **WINDOW,
        ),
    ),
    "Gemma 4": (
        "gemma4_text",
        dict(
            vocab_size_per_layer_input=VOCABULARY,
            hidden_size_per_layer_input=8,
            num_hidden_layers=4,
            num_kv_shared_layers=2,
            global_head_dim=8,
            layer_types=["sliding_attention", "full_attention"] * 2,
            **WINDOW,
        ),
    ),
    "Mistral": ("mistral", WINDOW),
    "Ministral 3": ("ministral3", {}),
    "Phi": ("phi", {}),
    "Phi 3": ("phi3", {}),
    "OLMo 3": ("olmo3", ALTERNATING),
    "SmolLM 3": ("smollm3", {}),
    "Granite": ("granite", dict(logits_scaling=8.0, embedding_multiplier=12.0, residual_multiplier=0.22)),
    "GPT-2": ("gpt2", GPT),
    "GPT-NeoX": ("gpt_neox", {}),
    "OPT": ("opt", dict(ffn_dim=64, word_embed_proj_dim=32)),
    "Seed-OSS": ("seed_oss", {}),
    "StableLM": ("stablelm", {}),
    "Falcon": ("falcon", dict(alibi=False, head_dim=None)),
    "Falcon (ALiBi)": ("falcon", dict(alibi=True, head_dim=None)),
    "BLOOM": ("bloom", dict(n_layer=2, n_head=4)),
    "MPT": ("mpt", dict(d_model=32, n_heads=4, n_layers=2, max_seq_len=256)),
    "GPT-J": ("gptj", dict(rotary_dim=4, **GPT)),
    "Mamba": ("mamba", dict(state_size=8, time_step_rank=4)),
    "Mamba 2": ("mamba2", dict(num_heads=8, state_size=8, n_groups=1, chunk_size=8)),
    "Qwen3-Next": ("qwen3_next", dict(shared_expert_intermediate_size=16, **EXPERTS, **DELTA_NET)),
    "Qwen3.5": ("qwen3_5_text", DELTA_NET),
    "LFM2": ("lfm2", dict(layer_types=["conv", "full_attention"], block_multiple_of=8)),
    "Falcon-H1": ("falcon_h1", dict(mamba_d_ssm=64, mamba_chunk_size=8, lm_head_multiplier=0.5, **MAMBA)),
    "Granite-MoE-hybrid": (
        "granitemoehybrid",
        dict(
            layer_types=["mamba", "attention"],
            mamba_chunk_size=8,
            num_local_experts=4,
            num_experts_per_tok=2,
            shared_intermediate_size=16,
            **MAMBA,
        ),
    ),
    "GPT-OSS": ("gpt_oss", dict(num_local_experts=4, num_experts_per_tok=2, **ALTERNATING)),
    "Llama 4": (
        "llama4_text",
        dict(
            intermediate_size_mlp=64,
            num_local_experts=2,
            attention_chunk_size=8,
            layer_types=["chunked_attention", "full_attention"],
            no_rope_layers=[1, 0],
        ),
    ),
    "DeepSeek-V3": (
        "deepseek_v3",
        dict(
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=16,
            n_group=2,
            topk_group=1,
            q_lora_rank=16,
            kv_lora_rank=16,
            qk_rope_head_dim=4,
            qk_nope_head_dim=8,
            v_head_dim=8,
            head_dim=4,
            first_k_dense_replace=1,
            num_key_value_heads=4,
        ),
    ),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """One word per token id."""
    words = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w2"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w1", unk_token="w2")


def tiny_model(family: str, spread: float = 6.0) -> Any:
    """A random model whose predictions are far from uniform: matrices are `spread` times as wide as initialised."""
    kind, changes = FAMILIES[family]
    settings = {name: value for name, value in (SIZE | changes).items() if value is not None}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1 and "A_log" not in name:
                weight.mul_(spread)
    return model.eval()


def one_by_one(model: Any, prompt: list[int], reply: list[int], attention: str = "eager") -> Tensor:
    """Next-token logits at each reply token [T, V], of one sequence without padding, cache or anything of ours."""
    before = model.config._attn_implementation
    model.set_attn_implementation(attention)
    logits = model(input_ids=torch.tensor([prompt + reply]), use_cache=False).logits[0, len(prompt) - 1 : -1]
    model.set_attn_implementation(before)
    return logits.float()


def sampled(backbone: Backbone, temperature: float = 1.0) -> Any:
    """Replies that end at the end token or after `REPLY` tokens."""
    return SharedPrefixEngine(backbone, "w1", appends_marker=False).sample(
        PROMPTS,
        SamplingConfig(max_completion_length=REPLY, temperature=temperature),
        num_generations=GROUP,
        generator=torch.Generator().manual_seed(0),
    )


def largest_difference(backbone: Backbone) -> float:
    """Between log-probabilities of sampled tokens and those of one sequence at a time."""
    rolled, worst = sampled(backbone), 0.0
    for row, length in enumerate(rolled.lengths.tolist()):
        reply = rolled.reply_ids[row, :length]
        with torch.no_grad():
            logits = one_by_one(backbone.causal_lm, PROMPTS[row // GROUP], reply.tolist())
        expected = sampled_logprobs(logits, SamplingConfig()).gather(1, reply[:, None])[:, 0]
        worst = max(worst, float((rolled.logprobs[row, :length] - expected).abs().max()))
    return worst


def row(family: str) -> tuple[str, str, str, str]:
    """Family, class, way of reading, bound of the difference."""
    model = tiny_model(family)
    try:
        backbone = Backbone(model, tokenizer())
    except ConfigError:
        return family, type(model).__name__, "refused", ""
    worst = largest_difference(backbone)
    bound = next((bound for bound in BOUNDS if worst < bound), None)
    return (
        family,
        type(model).__name__,
        backbone.prefix.label,
        f"more than {BOUNDS[-1]}" if bound is None else f"less than {bound:g}",
    )


def table(rows: list[tuple[str, str, str, str]]) -> str:
    return HEADER + "".join(f"| {family} | {kind} | {way} | {bound} |\n" for family, kind, way, bound in rows)


def documented() -> list[list[str]]:
    """Cells of the page's table."""
    body = PAGE.read_text(encoding="utf-8").partition(HEADER)[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.strip().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/models.md")
    parser.add_argument("--check", action="store_true", help="fail where docs/models.md says something else")
    options = parser.parse_args()
    transformers_logging.set_verbosity_error()
    logging.getLogger("reckon").setLevel(logging.ERROR)
    rows = [row(family) for family in FAMILIES]
    if options.check and [list(cells[:3]) for cells in rows] != [cells[:3] for cells in documented()]:
        raise SystemExit(f"{PAGE} is out of date. Fix: python benchmarks/families.py --write")
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEADER)
        PAGE.write_text(before + table(rows) + "\n" + rest.partition("\n\n")[2], encoding="utf-8")
    print(table(rows), end="")


if __name__ == "__main__":
    main()
