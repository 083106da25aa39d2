"""Batches of rows of like length: padding is what most histories would consist of otherwise.

Entry point: `batches_of_like_length`.
"""

import torch
from torch import Tensor

POOL = 16  # batches among which rows are sorted; all of an epoch would make batches of the same rows every time


def batches_of_like_length(lengths: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """Every row once, in random batches of about one length, in random order.

    Args:
        lengths: [R] of the rows, in any unit.
        size: rows of a batch, >= 1; only the last rows of a pool may be fewer.
        generator: of the order.
    """
    batches = []
    for pool in torch.randperm(len(lengths), generator=generator).split(size * POOL):
        batches.extend(pool[lengths[pool].argsort(stable=True)].split(size))
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
