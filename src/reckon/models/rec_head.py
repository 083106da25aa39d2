"""The rec head: hidden states against item rows.

Entry points: `encode_items` makes rows of the item table with the same model that reads the users, and
`item_logits` scores. It has no weights of its own: s(u, v) = <h, H_V[v]> / tau with both sides L2-normalised.

Source: R2ec (arXiv 2505.16994) section 3.1; tau = 0.02.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from reckon.models.backbone import Backbone

TOKENS_AT_ONCE = 8192  # padded tokens in one encoding batch


def user_vectors(hidden: Tensor) -> Tensor:
    """Hidden states at the marker [n, D] to unit vectors, float32."""
    return normalize(hidden.float(), dim=-1)


def encode_rows(backbone: Backbone, prompts: Sequence[Sequence[int]]) -> Tensor:
    """Item prompts to table rows with gradient, in one batch: [n, D] unit vectors."""
    return user_vectors(backbone.last_hidden(backbone.pad(prompts)))


def encode_items(
    backbone: Backbone, prompts: Sequence[Sequence[int]], on_batch: Callable[[int], None] | None = None
) -> Tensor:
    """Item prompts to table rows without gradient, in batches of similar length: [n, D].

    Args:
        backbone: the model.
        prompts: token ids of each item prompt.
        on_batch: called with the number of items done since the last call, for a progress bar.
    """
    order = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    table = torch.empty(len(prompts), backbone.hidden_size, device=backbone.device)
    with backbone.evaluating():
        start = 0
        while start < len(order):
            end = start + 1
            while end < len(order) and (end + 1 - start) * len(prompts[order[end]]) <= TOKENS_AT_ONCE:
                end += 1
            rows = order[start:end]
            table[rows] = encode_rows(backbone, [prompts[row] for row in rows])
            if on_batch is not None:
                on_batch(len(rows))
            start = end
    return table


def item_logits(users: Tensor, items: Tensor, tau: float) -> Tensor:
    """Scores s(u, v) of unit vectors: [n, D] against [m, D] gives [n, m]."""
    return users @ items.T / tau
