"""Everything that needs a GPU, in one call: is the shared prefix right there, and what does a step cost?

Run it:  python benchmarks/gpu.py [--json FILE] [--steps N] [--models 0.5B 3B] [--sides reckon unshared trl] [--quick]

1. Correctness in float32 and bfloat16: hidden states, gradients and rollout log-probabilities of the shared prefix
   against whole repeated sequences.
2. The step of recpo_step.py (4 prompts x 320 tokens x 8 replies x 64 tokens) at the shapes of Qwen2.5-0.5B and 3B with
   random weights: bfloat16, LoRA of rank 4, gradient checkpointing. Tokens per second, peak memory, share of
   each phase. Reckon's sides rank a target among 20,000 items as reward; TRL's reward costs nothing.

Without an accelerator it says so and measures nothing; `--quick` runs every part at tiny sizes on whatever is there.
"""

import argparse
import gc
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measure import environment, installed, table, write_json
from step_sides import SIDES, Side, StepShape, make_model, make_prompts, make_tokenizer, run_side, tiny_version
from torch import Tensor

from reckon.models import Backbone
from reckon.models.shared_prefix import ReadPrefix
from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine

BIG: dict[str, Any] = dict(vocab=151_936, dtype="bfloat16", lora_rank=4, checkpointing=True, catalog=20_000)
MODELS = {
    "0.5B": StepShape(width=896, intermediate=4864, layers=24, heads=14, kv_heads=2, **BIG),
    "3B": StepShape(width=2048, intermediate=11_008, layers=36, heads=16, kv_heads=2, **BIG),
}
ALLOWED = {"float32": 1e-4, "bfloat16": 5e-2}  # relative difference; bfloat16 keeps 8 bits
WARM_UP = 2
GIB = 1 << 30


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm."""
    return float((ours.float() - theirs.float()).norm() / theirs.float().norm().clamp_min(1e-12))


def correctness(shape: StepShape) -> dict[str, Any]:
    """Largest relative differences between the shared prefix and whole sequences, for one dtype."""
    backbone = Backbone(make_model(shape), make_tokenizer(shape.vocab))
    texts = make_prompts(shape, shape.prompts)
    prompts = [ids[: len(ids) - row] for row, ids in enumerate(backbone.tokenize(texts))]  # of unequal length
    rolled = SharedPrefixEngine(backbone, MARKER).sample(
        prompts, SamplingConfig(max_completion_length=shape.reply_tokens), num_generations=shape.group
    )
    replies, weights = rolled.reply_ids, torch.linspace(-1, 1, rolled.reply_ids.numel(), device=backbone.device)

    def gradients(logprobs: Tensor) -> Tensor:
        backbone.model.zero_grad()
        (logprobs.flatten() * weights).sum().backward()
        return torch.cat([parameter.grad.float().flatten() for parameter in backbone.model.parameters()])

    def picked(hidden: Tensor) -> Tensor:
        return backbone.logits(hidden).log_softmax(dim=-1).gather(-1, replies[..., None])[..., 0]

    states, last = backbone.read_prompts(rolled.prompts)
    hidden = backbone.read_replies(replies, ReadPrefix(states, shape.group))
    shared = torch.cat([last.repeat_interleave(shape.group, 0)[:, None], hidden[:, :-1]], dim=1)
    rows = []
    for row, reply in enumerate(replies):
        prompt = torch.tensor(prompts[row // shape.group], device=backbone.device)
        whole = torch.cat([prompt, reply])[None]
        rows.append(backbone.decoder(input_ids=whole, use_cache=False).last_hidden_state[0, len(prompt) - 1 : -1])
    whole_hidden = torch.stack(rows)
    logprobs = picked(whole_hidden)
    differences = {
        "hidden": relative(shared, whole_hidden),
        "rollout_logprobs": relative(rolled.logprobs[rolled.sampled], logprobs[rolled.sampled].detach()),
        "gradient": relative(gradients(picked(shared)), gradients(logprobs)),
    }
    return {"dtype": shape.dtype, "allowed": ALLOWED[shape.dtype], "differences": differences,
            "passed": max(differences.values()) <= ALLOWED[shape.dtype]}  # fmt: skip


def step(side: Side, shape: StepShape, steps: int) -> dict[str, Any]:
    """Seconds, tokens per second, peak memory and shares of one side; an out-of-memory error is a result too."""
    on_gpu = shape.device == "cuda"
    spent: list[dict[str, float]] = []

    def reset() -> None:
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()

    try:
        run_side(side, shape, WARM_UP + steps, ready=reset, before=lambda: None, after=spent.append)
    except torch.OutOfMemoryError:
        return {"side": side, "error": "out of memory"}
    finally:
        gc.collect()
        if on_gpu:
            torch.cuda.empty_cache()
    medians = {
        phase: median(one[phase] for one in spent[WARM_UP:]) for phase in ("rollout", "reward", "update", "total")
    }
    sampled = shape.rows * shape.reply_tokens
    return {
        "side": side,
        "seconds": {phase: round(value, 4) for phase, value in medians.items()},
        "share": {phase: round(medians[phase] / medians["total"], 3) for phase in ("rollout", "reward", "update")},
        "sampled_tokens_per_second": round(sampled / medians["total"], 1),
        "sampled_tokens_per_second_of_rollout": round(sampled / medians["rollout"], 1),
        "peak_memory_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if on_gpu else None,
    }


def render(result: dict[str, Any]) -> str:
    """The tables a person reads."""
    lines = [f"accelerator: {result['accelerator'] or 'none'}", ""]
    checks = [
        [check["dtype"], *(f"{value:.1e}" for value in check["differences"].values()), f"{check['allowed']:.0e}",
         "ok" if check["passed"] else "WRONG"]
        for check in result["correctness"]
    ]  # fmt: skip
    lines += [table(["relative difference", "hidden", "rollout log-prob.", "gradient", "allowed", ""], checks), ""]
    for model, sides in result["steps"].items():
        rows = []
        for one in sides:
            if "error" in one:
                rows.append([one["side"], one["error"], *[""] * 6])
                continue
            memory = one["peak_memory_gib"]
            rows.append([
                one["side"], f"{one['seconds']['total']:.3f}", *(f"{value:.0%}" for value in one["share"].values()),
                f"{one['sampled_tokens_per_second']:.0f}", f"{one['sampled_tokens_per_second_of_rollout']:.0f}",
                "-" if memory is None else f"{memory:.1f}",
            ])  # fmt: skip
        header = [f"Qwen2.5-{model} shape", "step s", "rollout", "reward", "update", "tokens/s", "sampling", "GiB"]
        lines += [table(header, rows), ""]
    return "\n".join(lines)


def main() -> int:
    present = [side for side in SIDES if side != "trl" or installed("trl")]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each side")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=present)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, on the CPU too: does it run at all?")
    options = parser.parse_args()
    available = torch.cuda.is_available()
    if not available and not options.quick:
        print("No accelerator is present: nothing was measured. `--quick` runs every part at tiny sizes on the CPU.")
        return 1
    device = "cuda" if available else "cpu"
    result: dict[str, Any] = {
        "benchmark": "gpu", **environment(), "accelerator": torch.cuda.get_device_name() if available else None,
        "quick": options.quick, "correctness": [], "steps": {}, "shapes": {},
    }  # fmt: skip
    for dtype in ("float32", "bfloat16"):
        check = StepShape(dtype=dtype, device=device)
        torch.manual_seed(0)
        result["correctness"].append(correctness(tiny_version(check) if options.quick else check))
    for model in options.models:
        shape = replace(MODELS[model], device=device)
        if options.quick:
            shape = replace(tiny_version(shape), catalog=50)
        result["shapes"][model] = asdict(shape)
        steps = 1 if options.quick else options.steps
        result["steps"][model] = []
        for side in options.sides:
            print(f"{model} {side} ...", flush=True)
            result["steps"][model].append(step(side, shape, steps))
            if options.json:
                write_json(options.json, result)  # what is done stays if the time runs out
    print(render(result))
    if not available:
        print("No accelerator is present: these tiny CPU numbers only show that the script runs.")
    return 0 if all(check["passed"] for check in result["correctness"]) else 1


if __name__ == "__main__":
    raise SystemExit(main())
