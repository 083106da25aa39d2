"""Scores of users against the whole catalog, in blocks of users.

Entry points: `item_scores`, the score itself, and `log_prior`, its popularity term; `top_k`, `target_ranks`, and
`ranks_and_top_k` where both are wanted; `best_items` for lists of an item table. A block's scores are one matrix
product over all items; blocks are as many users as fit in SCORES_AT_ONCE, so memory does not grow with users x items.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError, ShapeError
from reckon.models.item_table import ItemTable

SCORES_AT_ONCE = 1 << 24  # 64 MiB of float32
PRIOR_SMOOTHING = 1.0  # pseudo-count of every item in the popularity prior


def item_scores(users: Tensor, items: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None) -> Tensor:
    """s(u, v) = <u, v> + bias(v): [n, I]. Every method scores by this, in training and in use; what may not be
    recommended is -inf on top.

    Args:
        users: [n, D] vectors, already divided by the temperature.
        items: [I, D] rows of the item table.
        bias: [I] e.g. the log-popularity prior times its weight.
        out: [n, I] where to put the result, without gradient.
    """
    scores = users @ items.T if out is None else torch.mm(users, items.T, out=out)
    if bias is None:
        return scores
    return scores + bias if out is None else scores.add_(bias)


def seen_among(columns: Tensor, seen: Sequence[IntArray]) -> Tensor:
    """[n, m] True where one of m items is among those that user n cannot be recommended.

    Args:
        columns: [m] item indices, ascending, each once.
        seen: for each of n users the item indices that may not be recommended.
    """
    mask = torch.zeros(len(seen), len(columns), dtype=torch.bool, device=columns.device)
    for row, hidden in enumerate(seen):
        items = torch.from_numpy(np.asarray(hidden, dtype=np.int64)).to(columns.device)
        place = torch.searchsorted(columns, items).clamp_max(max(0, len(columns) - 1))
        mask[row, place[columns[place] == items]] = True
    return mask


def score_blocks(
    users: Tensor, items: Tensor, bias: Tensor | None = None, exclude: Sequence[IntArray] | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of inner products with excluded items at -inf.

    Args:
        users: [U, D] vectors, already divided by the temperature.
        items: [I, D] item table.
        bias: [I] added to every row, e.g. a log-popularity prior.
        exclude: for each user the item indices that may not be recommended.

    Yields:
        The rows of the block and their scores [u, I]; the tensor is reused, copy what you keep.

    Raises:
        ShapeError: D differs. DataError: a score is NaN.
    """
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise ShapeError("users", tuple(users.shape), f"[U, {items.shape[-1]}], the item table's width")
    size = max(1, SCORES_AT_ONCE // max(1, len(items)))
    buffer = users.new_empty(min(size, len(users)), len(items))
    for start in range(0, len(users), size):
        block = users[start : start + size]
        scores = item_scores(block, items, bias, out=buffer[: len(block)])
        # A sum is NaN when any element is; looking at a row sum costs less than looking at every score.
        if bool(scores.sum(dim=1).isnan().any()):
            raise DataError("scores", "hold NaN: the model has diverged", "lower the learning rate and train again")
        if exclude is not None:
            for row, hidden in enumerate(exclude[start : start + size]):
                scores[row, torch.from_numpy(np.asarray(hidden, dtype=np.int64)).to(scores.device)] = -torch.inf
        yield slice(start, start + len(block)), scores


def top_k(
    users: Tensor, items: Tensor, k: int, *, bias: Tensor | None = None, exclude: Sequence[IntArray] | None = None
) -> tuple[Tensor, Tensor]:
    """The k best items of each user: item indices [U, k] int64 and scores [U, k], best first.

    Where fewer than k items are allowed, the rest has index -1 and score -inf. Arguments as `score_blocks`.
    """
    k = min(k, len(items))
    indices = torch.full((len(users), k), -1, dtype=torch.long)
    values = torch.full((len(users), k), -torch.inf)
    for rows, scores in score_blocks(users, items, bias, exclude):
        indices[rows], values[rows] = (best.cpu() for best in block_top_k(scores, k))
    return indices, values


def target_ranks(
    users: Tensor,
    items: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    exclude: Sequence[IntArray] | None = None,
) -> Tensor:
    """Rank of each user's target among the allowed items: [U] int64, from 1; see `block_ranks`."""
    ranks = torch.empty(len(users), dtype=torch.long)
    targets = targets.to(users.device)
    for rows, scores in score_blocks(users, items, bias, exclude):
        ranks[rows] = block_ranks(scores, targets[rows]).cpu()
    return ranks


def ranks_and_top_k(
    users: Tensor,
    items: Tensor,
    targets: Tensor,
    k: int,
    *,
    bias: Tensor | None = None,
    exclude: Sequence[IntArray] | None = None,
) -> tuple[Tensor, Tensor]:
    """`target_ranks` [U] and the item indices of `top_k` [U, k], from scores that are computed once."""
    k = min(k, len(items))
    ranks = torch.empty(len(users), dtype=torch.long)
    indices = torch.full((len(users), k), -1, dtype=torch.long)
    targets = targets.to(users.device)
    for rows, scores in score_blocks(users, items, bias, exclude):
        ranks[rows] = block_ranks(scores, targets[rows]).cpu()
        indices[rows] = block_top_k(scores, k)[0].cpu()
    return ranks, indices


def block_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """Rank of each row's target in a block of scores [u, I]: [u] int64, from 1.

    The target ties behind every item with its score. An excluded target cannot be found: rank I + 1.
    """
    own = scores.gather(1, targets[:, None])  # [u, 1]
    return (scores >= own).sum(dim=1).masked_fill(own[:, 0] == -torch.inf, scores.shape[1] + 1)


def block_top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k <= I best of each row of a block [u, I]: indices [u, k], -1 where no item is allowed, and scores [u, k]."""
    best = scores.topk(k, dim=1)
    return best.indices.masked_fill(best.values == -torch.inf, -1), best.values.float()


def log_prior(counts: IntArray) -> Tensor:
    """Smoothed log training frequency [I] of items with these counts [I]."""
    smoothed = torch.from_numpy(np.asarray(counts, dtype=np.float32)) + PRIOR_SMOOTHING
    return (smoothed / smoothed.sum()).log()


def best_items(
    queries: Tensor, table: ItemTable, k: int, bias: Tensor | None, seen: Sequence[IntArray] | None
) -> list[tuple[list[int], list[str], list[float]]]:
    """Item indices, item ids and scores of the k best items of each query, best first.

    Raises:
        ConfigError: k < 1.
    """
    if k < 1:
        raise ConfigError("k", k, "a list needs at least one item", "ask for 1 or more")
    items, scores = top_k(queries, table.vectors, k, bias=bias, exclude=seen)
    lists = []
    for row, values in zip(items.tolist(), scores.tolist(), strict=True):
        found = [item for item in row if item >= 0]  # -1 fills the end of a short list
        lists.append((found, [table.item_ids[item] for item in found], values[: len(found)]))
    return lists
