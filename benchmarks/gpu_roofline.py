"""What the machine can do, and what a step and a decoder ask of it.

Entry points: `accelerator` names it; `ceilings` measures a large bfloat16 matrix product and a large copy in memory;
`update_flops`, `decode_bytes` and `read_flops` count, from the sizes alone, the least that an algorithm has to compute
or read; `share` compares that with a ceiling. Sizes are those of `StepShape`, as a dict.

Counted are model FLOPs: what gradient checkpointing computes a second time does not count, nor do masked positions. A
multiplication and its addition are two. With adapters the frozen weights need no gradient of their own.
"""

from collections.abc import Callable, Mapping
from typing import Any

Sizes = Mapping[str, Any]
BYTES = {"float32": 4, "bfloat16": 2}
CALLS = 10  # in one timing, so that waiting for the device does not count
TIMINGS = 5
TINY = {"product": 64, "copy": 1 << 16}
FULL = {"product": 8192, "copy": 1 << 31}


def accelerator() -> dict[str, Any]:
    """The device in words; None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return {"accelerator": None}
    device = torch.cuda.get_device_properties(0)
    return {"accelerator": {
        "name": device.name, "memory_gib": round(device.total_memory / (1 << 30), 1),
        "multiprocessors": device.multi_processor_count, "cuda": torch.version.cuda,
    }}  # fmt: skip


def ceilings(device: str, quick: bool) -> dict[str, Any]:
    """The machine's own bfloat16 matrix product and copy on random data: the best and the median of some timings."""
    import torch

    sizes = TINY if quick else FULL
    side = sizes["product"]
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(left)
    multiply = _timings(lambda: torch.mm(left, right, out=product), device)
    source = torch.randint(-128, 127, (sizes["copy"],), device=device, dtype=torch.int8)
    target = torch.empty_like(source)
    copy = _timings(lambda: target.copy_(source), device)
    flops, moved = 2 * side**3, 2 * sizes["copy"]  # read and written
    return {
        "sizes": sizes,
        "flops_per_second": {"best": flops / multiply[0], "median": flops / multiply[len(multiply) // 2]},
        "bytes_per_second": {"best": moved / copy[0], "median": moved / copy[len(copy) // 2]},
    }


def _timings(call: Callable[[], object], device: str) -> list[float]:
    """Seconds of one call, in ascending order."""
    from step_sides import clock

    for _ in range(CALLS):
        call()
    seconds = []
    for _ in range(TIMINGS):
        started = clock(device)
        for _ in range(CALLS):
            call()
        seconds.append((clock(device) - started) / CALLS)
    return sorted(seconds)


def layer_weights(sizes: Sizes) -> int:
    """Weights in the linear maps of one layer."""
    return sum(into * out for into, out in _linear_maps(sizes))


def _linear_maps(sizes: Sizes) -> list[tuple[int, int]]:
    """Inputs and outputs of a layer's seven linear maps."""
    width, inner, key = sizes["width"], sizes["intermediate"], _key_width(sizes)
    return [(width, width), (width, key), (width, key), (width, width), *[(width, inner)] * 2, (inner, width)]


def _key_width(sizes: Sizes) -> int:
    """Numbers in one token's keys of one layer; its values are as many."""
    return sizes["width"] // sizes["heads"] * sizes["kv_heads"]


def update_flops(sizes: Sizes, *, shared: bool) -> float:
    """Forward and backward of one update: N replies of T tokens behind B prompts of P, read once or N times.

    Reckon's shared side also reads the marker that it appends to every reply.
    """
    prompts, rows = sizes["prompts"], sizes["prompts"] * sizes["group"]
    P, T = sizes["prompt_tokens"], sizes["reply_tokens"]
    if shared:
        tokens = prompts * P + rows * (T + 1)
        pairs = prompts * _causal_pairs(P) + rows * ((T + 1) * P + _causal_pairs(T + 1))
    else:
        tokens, pairs = rows * (P + T), rows * _causal_pairs(P + T)
    linear = 2 * sizes["layers"] * layer_weights(sizes) * tokens
    head = 2 * sizes["vocab"] * sizes["width"] * rows * T
    attention = 4 * sizes["layers"] * sizes["width"] * pairs  # scores, and the weighted sum of values
    adapters = 2 * sizes["layers"] * sizes["lora_rank"] * sum(map(sum, _linear_maps(sizes))) * tokens
    backward = 1 if sizes["lora_rank"] else 2  # gradients of the inputs; of the weights too where they are trained
    return (1 + backward) * (linear + head) + 3 * (attention + adapters)


def _causal_pairs(tokens: int) -> int:
    """Pairs of a token and one it may look at, itself among them."""
    return tokens * (tokens + 1) // 2


def decode_bytes(sizes: Sizes, *, shared: bool) -> float:
    """Weights and cached keys and values that T - 1 decoding steps read, after a prefill that gave the first token."""
    prompts, rows = sizes["prompts"], sizes["prompts"] * sizes["group"]
    P, T, size = sizes["prompt_tokens"], sizes["reply_tokens"], BYTES[sizes["dtype"]]
    weights = sizes["layers"] * layer_weights(sizes) + sizes["vocab"] * sizes["width"]
    prefix = (prompts if shared else rows) * P * (T - 1)
    cached = 2 * _key_width(sizes) * sizes["layers"] * (prefix + rows * _causal_pairs(T - 1))
    return size * (weights * (T - 1) + cached)


def read_flops(sizes: Sizes, lengths: list[int]) -> float:
    """One forward pass over whole sequences without the language model's head, as items are encoded."""
    linear = 2 * layer_weights(sizes) * sum(lengths)
    attention = 4 * sizes["width"] * sum(_causal_pairs(length) for length in lengths)
    return sizes["layers"] * (linear + attention)


def share(count: float, seconds: float, ceiling: float) -> float:
    """Which part of the ceiling was reached."""
    return round(count / seconds / ceiling, 4)
