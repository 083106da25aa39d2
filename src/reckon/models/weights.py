"""What tells the weights of one model from those of another.

Entry point: `weights_fingerprint`.
"""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor


def weights_fingerprint(weights: Iterable[tuple[str, Tensor]]) -> str:
    """12 hex digits of the sha256 of names, shapes, types and every value, in the order given."""
    digest = hashlib.sha256()
    for name, weight in weights:
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}\n".encode())
        digest.update(weight.detach().flatten().contiguous().cpu().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:12]
