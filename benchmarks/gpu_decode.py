"""Greedy decoding: the shared-prefix engine beside transformers' `generate` with its dynamic and its static cache.

Entry point: `decode`. All sides continue the same prompts with the same random model by the same number of tokens; a
group of replies shares a prompt, which `generate` gets once per reply. Seconds of a decoding step are the difference
between a whole reply and a reply of one token, so that the prefill does not count as decoding. Sides take turns.

Of a random model in bfloat16 the sides may write different tokens: after a first choice that a last bit turned, every
further token differs. The work is the same.
"""

from collections.abc import Callable
from dataclasses import asdict
from statistics import median
from typing import Any

import torch
from gpu_roofline import decode_bytes, share
from step_sides import FixedLength, StepShape, clock, make_model, make_prompts, make_tokenizer, shape_of
from torch import Tensor

from reckon.models import Backbone
from reckon.models.prefix.shared import ATTENTION_NAME
from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine

REPETITIONS = 3
Decoder = Callable[[int], Tensor]  # tokens per reply to reply ids [N, T]


def decode(sizes: dict[str, Any], sides: list[str], quick: bool, ceilings: dict[str, Any]) -> dict[str, Any]:
    """Seconds and tokens per second of each side, and the share of the copy's bandwidth that its steps reach."""
    shape = shape_of(sizes, quick)
    backbone = Backbone(make_model(shape).eval(), make_tokenizer(shape.vocab))
    decoders = {side: _decoder(side, backbone, shape) for side in sides}
    tokens, first, ids = shape.reply_tokens, {}, {}
    for side, decoder in decoders.items():  # warm up; a compiled side compiles here
        started = clock(shape.device)
        ids[side] = decoder(tokens)
        first[side] = clock(shape.device) - started
        decoder(1)
        if side == "compiled":
            decoder(tokens)  # its graph is recorded in a second run
    spent: dict[str, dict[str, list[float]]] = {side: {"whole": [], "one": []} for side in sides}
    for turn in range(1 if quick else REPETITIONS):
        for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
            for name, length in (("whole", tokens), ("one", 1)):
                started = clock(shape.device)
                decoders[side](length)
                spent[side][name].append(clock(shape.device) - started)
    return {
        "shape": asdict(shape),
        "sides": {
            side: {
                "first_call_seconds": round(first[side], 3),
                "same_tokens_as_first_side": round(float((ids[side] == ids[sides[0]]).float().mean()), 4),
                **_summary(shape, side == "reckon", spent[side], ceilings),
            }
            for side in sides
        },
    }


def _summary(shape: StepShape, shared: bool, spent: dict[str, list[float]], ceilings: dict[str, Any]) -> dict[str, Any]:
    whole, one = median(spent["whole"]), median(spent["one"])
    step = (whole - one) / (shape.reply_tokens - 1)
    read = decode_bytes(asdict(shape), shared=shared)
    found = {
        "seconds": {"median": round(whole, 5), "min": round(min(spent["whole"]), 5), "prefill_and_one": round(one, 5)},
        "tokens_per_second": round(shape.rows * shape.reply_tokens / whole, 1),
        "bytes_read": read,
    }
    if step > 0:  # at tiny sizes the difference can drown in noise
        found |= {"step_ms": round(1000 * step, 4), "decode_tokens_per_second": round(shape.rows / step, 1)}
        if ceilings:
            best = ceilings["bytes_per_second"]["best"]
            found["share_of_bandwidth"] = share(read, step * (shape.reply_tokens - 1), best)
    return found


def _decoder(side: str, backbone: Backbone, shape: StepShape) -> Decoder:
    texts = make_prompts(shape, shape.prompts)
    prompts = backbone.tokenize(texts)
    if side == "reckon":
        engine = SharedPrefixEngine(backbone, MARKER, appends_marker=False)
        engine.marker = FixedLength(MARKER, backbone)

        def shared(tokens: int) -> Tensor:
            backbone.causal_lm.set_attn_implementation(ATTENTION_NAME)
            greedy = SamplingConfig(temperature=0, max_completion_length=tokens)
            return engine.sample(prompts, greedy, num_generations=shape.group).reply_ids

        return shared
    ids = torch.tensor(prompts, device=backbone.device).repeat_interleave(shape.group, 0)  # [N, P]
    options = {"do_sample": False, "pad_token_id": 0, "disable_compile": side != "compiled"}
    if side in ("static", "compiled"):  # transformers compiles the step of a static cache unless told not to
        options["cache_implementation"] = "static"

    def generate(tokens: int) -> Tensor:
        backbone.causal_lm.set_attn_implementation("sdpa")
        mask = torch.ones_like(ids)
        with torch.no_grad():
            whole = backbone.causal_lm.generate(ids, attention_mask=mask, max_new_tokens=tokens, **options)
        return whole[:, ids.shape[1] :]

    return generate
