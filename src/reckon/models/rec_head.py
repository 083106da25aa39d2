"""The rec head: hidden states against item rows.

Entry points: `encode_items` makes rows of the item table with the same model that reads the users, and `user_vectors`
what they are multiplied with (`reckon.models.scoring`). It has no weights of its own: s(u, v) = <h, H_V[v]> / tau with
both sides L2-normalised.

Source: R2ec (arXiv 2505.16994) section 3.1; tau = 0.02.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from reckon.models.backbone import Backbone

TOKENS_AT_ONCE = 8192  # padded tokens in one encoding batch


def user_vectors(hidden: Tensor) -> Tensor:
    """Hidden states at the marker [n, D] to unit vectors, float32."""
    return normalize(hidden.float(), dim=-1)


def encode_rows(backbone: Backbone, prompts: Sequence[Sequence[int]], tokens_at_once: int = 2048) -> Tensor:
    """Item prompts to table rows with gradient: [n, D] unit vectors.

    In batches of similar length: one long title would pad hundreds of short ones, and padding costs as much as text.
    """
    batches = list(length_batches(prompts, tokens_at_once))
    rows = torch.cat(
        [user_vectors(backbone.last_hidden(backbone.pad([prompts[row] for row in batch]))) for batch in batches]
    )
    order = torch.tensor([row for batch in batches for row in batch], device=rows.device)
    return rows[order.argsort()]


def length_batches(prompts: Sequence[Sequence[int]], tokens_at_once: int) -> Iterator[list[int]]:
    """Rows of similar length, as many as fit in `tokens_at_once` padded tokens, at least one."""
    batch: list[int] = []
    for row in sorted(range(len(prompts)), key=lambda row: len(prompts[row])):
        if batch and (len(batch) + 1) * len(prompts[row]) > tokens_at_once:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def encode_items(
    backbone: Backbone, prompts: Sequence[Sequence[int]], on_batch: Callable[[int], None] | None = None
) -> Tensor:
    """Item prompts to table rows without gradient, in batches of similar length: [n, D].

    Args:
        backbone: the model.
        prompts: token ids of each item prompt.
        on_batch: called with the number of items done since the last call, for a progress bar.
    """
    table = torch.empty(len(prompts), backbone.hidden_size, dtype=torch.float32, device=backbone.device)
    with backbone.evaluating():
        for rows in length_batches(prompts, TOKENS_AT_ONCE):
            table[rows] = user_vectors(backbone.last_hidden(backbone.pad([prompts[row] for row in rows])))
            if on_batch is not None:
                on_batch(len(rows))
    return table
