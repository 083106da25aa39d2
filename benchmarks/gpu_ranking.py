"""Evaluation on an accelerator: users per second of reasoning and ranking a catalog, items per second of encoding it.

Entry point: `rank`. The steps are those of a recommender's evaluation with a random model: every item's text is read
once; each user's prompt is continued greedily to the marker; the state there scores the whole catalog for the user's 20
best items and the target's rank. Texts are random tokens of random lengths.
"""

from dataclasses import asdict
from statistics import median
from typing import Any

import torch
from gpu_roofline import read_flops, share
from step_sides import FixedLength, clock, make_model, make_tokenizer, shape_of

from reckon.models import Backbone
from reckon.models.rec_head import encode_items, user_vectors
from reckon.models.scoring import ranks_and_top_k
from reckon.prompts.r2ec import MARKER
from reckon.rollout import SamplingConfig, SharedPrefixEngine

TOP_K = 20
BATCHES = 4  # timed, of each size
ITEM_TOKENS = (8, 32)
ENCODINGS = 3


def rank(sizes: dict[str, Any], batch_sizes: list[int], quick: bool, ceilings: dict[str, Any]) -> dict[str, Any]:
    """Medians over batches of users, and over encodings of the catalog."""
    shape = shape_of(sizes, quick)
    device, source = shape.device, torch.Generator().manual_seed(2)
    backbone = Backbone(make_model(shape).eval(), make_tokenizer(shape.vocab))
    lengths = torch.randint(*ITEM_TOKENS, (shape.catalog,), generator=source).tolist()
    items = [torch.randint(2, shape.vocab, (length,), generator=source).tolist() for length in lengths]
    encode_items(backbone, items[: len(items) // 4])  # warm up
    encoding = []
    for _ in range(1 if quick else ENCODINGS):
        started = clock(device)
        table = encode_items(backbone, items)
        encoding.append(clock(device) - started)
    engine = SharedPrefixEngine(backbone, MARKER)
    engine.marker = FixedLength(MARKER, backbone)  # every reply is as long as it may be
    greedy = SamplingConfig(temperature=0, max_completion_length=shape.reply_tokens)
    batches: dict[str, Any] = {}
    for size in batch_sizes:
        reasoning, scoring = [], []
        for _ in range(1 + (1 if quick else BATCHES)):
            users = torch.randint(2, shape.vocab, (size, shape.prompt_tokens), generator=source).tolist()
            prompts = [ids[row % (shape.prompt_tokens // 4) :] for row, ids in enumerate(users)]
            targets = torch.randint(shape.catalog, (size,), generator=source)
            started = clock(device)
            hidden = engine.sample(prompts, greedy).hidden
            reasoned = clock(device)
            ranks_and_top_k(user_vectors(hidden), table, targets, TOP_K)
            reasoning.append(reasoned - started)
            scoring.append(clock(device) - reasoned)
        total = median(a + b for a, b in zip(reasoning[1:], scoring[1:], strict=True))  # the first one warms up
        batches[str(size)] = {
            "users_per_second": round(size / total, 1),
            "seconds": {"reasoning": median(reasoning[1:]), "scoring": median(scoring[1:]), "total": total},
        }
    seconds, flops = median(encoding), read_flops(asdict(shape), lengths)
    encoded = {
        "items_per_second": round(len(items) / seconds, 1),
        "tokens_per_second": round(sum(lengths) / seconds, 1),
        "seconds": seconds,
        "flops": flops,
    }
    if ceilings:
        encoded["share_of_product"] = share(flops, seconds, ceilings["flops_per_second"]["best"])
    return {"shape": asdict(shape), "batches_of_users": batches, "item_encoding": encoded}
