"""Batches of rows of similar length, to save padding.

Entry point: `batches_of_like_length`.
"""

import torch
from torch import Tensor

POOL = 16  # rows are sorted within pools of this many batches; sorting a whole epoch would repeat the same batches


def batches_of_like_length(lengths: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """All rows once, in random order, in batches of similar length.

    Args:
        lengths: [R] length of each row, in any unit.
        size: rows per batch, >= 1; the last batch of a pool may have fewer.
        generator: random source of the order.
    """
    batches = []
    for pool in torch.randperm(len(lengths), generator=generator).split(size * POOL):
        batches.extend(pool[lengths[pool].argsort(stable=True)].split(size))
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
