"""Effect of a model's reasoning on rankings: the same rows with its own, another user's, shuffled and no reasoning.

Entry point: `reasoning_effect`. If only the presence of a reasoning helps, another user's reasoning gives the same
metrics. If only its words help, shuffled words give the same metrics.

Replies are written once; every arm except `none` reads given text in the same way.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from reckon.data import Example, Examples
from reckon.errors import ConfigError, DataError
from reckon.methods.ranking_model import RankingModel
from reckon.methods.reading import Reading
from reckon.metrics import RankingResult, metric_values
from reckon.metrics.bootstrap import bootstrap_interval, paired_interval
from reckon.models.scoring import target_ranks
from reckon.prompts.blocks import shuffled_words

ARMS = ("own", "another user's", "shuffled", "none")
METRICS = ("hit@10", "ndcg@10")
ROWS_AT_ONCE = 64


def reasoning_effect(
    model: RankingModel, examples: Examples, *, seed: int = 0, metrics: Sequence[str] = METRICS
) -> dict[str, Any]:
    """Metrics of the same rows in each arm, and each arm's difference from the model's own reasoning.

    Args:
        model: one that reasons.
        examples: at least two rows.
        seed: of the exchange of reasonings and of the shuffled words.
        metrics: `hit@K`, `ndcg@K` or `mrr`.

    Returns:
        `rows`, and `arms`: for each of ARMS, per metric, `mean`, `ci` and, except for `own`, `drop` (own minus arm,
        paired) with `drop_ci` and `drop_p`. The arm with another user's reasoning is left out if all rows belong to one
        user.

    Raises:
        ConfigError: the model does not reason. DataError: fewer than two rows.
    """
    plain = model.without_reasoning()
    if plain is None:
        raise ConfigError("model", model.METHOD, "writes no reasoning", "give a model that reasons")
    if len(examples) < 2:
        raise DataError("rows", "are fewer than two, so no reasoning can be exchanged", "give more rows")
    rng = np.random.default_rng(seed)
    rows = [*examples]
    own = [reply for block in _blocks(rows) for reply in model.written(block)]
    replies = {ARMS[0]: own}
    if (other := others(examples.user_ids, rng)) is not None:
        replies[ARMS[1]] = [own[row] for row in other]
    replies[ARMS[2]] = [shuffled_words(reply, rng) for reply in own]
    ranks = {arm: _ranks(model, rows, texts) for arm, texts in replies.items()}
    ranks[ARMS[3]] = _ranks(plain, rows, None)
    results = {
        arm: RankingResult(arm, found, len(model.catalog), user_ids=examples.user_ids) for arm, found in ranks.items()
    }
    return {
        "rows": len(rows),
        "arms": {arm: _numbers(found, results[ARMS[0]], metrics) for arm, found in results.items()},
    }


def others(user_ids: Sequence[Any] | np.ndarray, rng: np.random.Generator) -> list[int] | None:
    """For each of R rows, the number of a row of another user; None if all rows belong to one user.

    No row is used twice, so that all arms except `none` read the same texts. If one user has more than half of the
    rows, that is impossible, and the remaining rows draw from the rows of all other users.
    """
    order = rng.permutation(len(user_ids))
    _, first, user = np.unique(np.asarray(user_ids)[order], return_index=True, return_inverse=True)
    if len(first) < 2:
        return None
    side_by_side = np.argsort(first[user], kind="stable")  # rows grouped by user, users in random order
    order, user = order[side_by_side], user[side_by_side]
    step = int(np.bincount(user).max())  # most rows of one user; a shift by it leaves every user's own rows
    source = np.roll(np.arange(len(order)), step)
    own = user[source] == user
    if own.any():
        theirs = np.flatnonzero(user != user[own][0])  # only one user can have more than half of the rows
        source[own] = rng.choice(theirs, size=int(own.sum()))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = order[source]
    return [int(row) for row in found]


def _ranks(model: RankingModel, rows: Sequence[Example], replies: Sequence[str] | None) -> np.ndarray:
    found, start = [], 0
    for block in _blocks(rows):
        read: Reading
        if replies is None:
            read = model.reading(block)
        else:
            read = model.reading_written(block, replies[start : start + len(block)])
        start += len(block)
        targets = torch.tensor([example.target for example in block])
        seen = model.seen(block)
        found.append(target_ranks(read.queries, model.table.vectors, targets, bias=model.bias, exclude=seen).numpy())
    return np.concatenate(found)


def _numbers(result: RankingResult, own: RankingResult, metrics: Sequence[str]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for metric in metrics:
        values = metric_values(result, metric)
        interval = bootstrap_interval(values, result.user_ids)
        numbers[metric] = {"mean": interval.mean, "ci": [interval.lo, interval.hi]}
        if result is not own:
            drop = paired_interval(metric_values(own, metric), values, result.user_ids)
            numbers[metric] |= {"drop": drop.difference, "drop_ci": [drop.lo, drop.hi], "drop_p": drop.p_value}
    return numbers


def _blocks(rows: Sequence[Example]) -> list[Sequence[Example]]:
    return [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
