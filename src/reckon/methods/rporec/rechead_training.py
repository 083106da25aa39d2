"""Training of the Rechead in Stage I of RPORec, on given replies and without the language model.

Entry point: `train_rechead`. Sentence vectors are precomputed, so an epoch over thousands of rows takes seconds on a
CPU, without checkpoints. The loss is the cross-entropy of the target among itself and sampled negatives. After each
epoch the whole catalog is ranked for the validation rows; the best epoch is kept.

Source: RPORec (arXiv 2605.21967), Stage I.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from reckon.data.examples import IntArray
from reckon.errors import ConfigError, ReckonError, ShapeError
from reckon.metrics.ranking import rank_values
from reckon.models.rechead import Rechead
from reckon.models.scoring import item_scores, target_ranks
from reckon.training.best import Best, BestWeights

SELECTION_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOneConfig:
    """Settings of Stage I. Section `stage_one`."""

    temperature: float = 0.0
    """Sampling temperature of the replies for training rows, >= 0; 0 is greedy, as for users and validation rows. On
    the bookshop, replies of temperature 1 were right half as often, and a Rechead trained on them reached a third of
    the NDCG."""

    learning_rate: float = 1e-3
    """Learning rate of AdamW, > 0."""

    weight_decay: float = 0.01
    """AdamW's decoupled weight decay, >= 0."""

    batch_size: int = 128
    """Rows per update, >= 1."""

    negatives: int = 49
    """Uniformly drawn negatives per row (k), >= 0; 0 uses the whole catalog."""

    max_epochs: int = 50
    """Most passes over the training rows, >= 1."""

    patience: int = 5
    """Training stops after this many epochs without a better validation NDCG@10, >= 1. The best state is kept: the best
    epoch, or the start, which ranks by the sentence vectors."""

    train_size: int = 0
    """Most training rows, drawn with the seed, >= 0; 0 uses all. Each row gets one reply."""

    validation_size: int = 2000
    """Most validation rows of the fixed sample for early stopping, >= 1."""

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "negatives": 0, "max_epochs": 1, "patience": 1, "train_size": 0, "validation_size": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                fix = "use the default"
                raise ConfigError(f"stage_one.{name}", getattr(self, name), f"must be at least {bound}", fix)
        if self.temperature < 0:
            raise ConfigError("stage_one.temperature", self.temperature, "must not be negative", "use 0 or 1")
        if self.learning_rate <= 0:
            raise ConfigError("stage_one.learning_rate", self.learning_rate, "must be positive", "use 1e-3")
        if self.weight_decay < 0:
            raise ConfigError("stage_one.weight_decay", self.weight_decay, "must not be negative", "use 0.01")


@dataclass(frozen=True, slots=True)
class RecheadRows:
    """R rows as inputs of the Rechead."""

    texts: Tensor  # [R, 3, D] sentence vectors of history, reasoning and answer
    parsed: Tensor  # [R] True where the reply parsed
    targets: Tensor  # [R] item indices
    seen: Sequence[IntArray] | None
    """Excluded item indices of each row; None where repeats are allowed."""

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.parsed) == len(self.targets):
            raise ShapeError("parsed", tuple(self.parsed.shape), f"[{len(self.texts)}], one per row of texts")

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores of user vectors: s(u, v) = <h_u, h_v> / tau + bias."""

    items: Tensor  # [I, D] frozen
    tau: float
    bias: Tensor | None  # [I]; None without a popularity prior


def train_rechead(
    rechead: Rechead,
    scorer: Scorer,
    train: RecheadRows,
    valid: RecheadRows,
    config: StageOneConfig,
    seed: int,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[dict[str, Any]]:
    """Train the Rechead in place; it ends with the weights of its best epoch.

    Args:
        seed: of the order of rows, of negatives and of dropout.
        on_epoch: called with 1 after every epoch.

    Returns:
        One record for the start and one per epoch: `loss` (nats per row), `eval_ndcg@10`, `eval_hit@10`, `step`.

    Raises:
        ReckonError: the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(rechead.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    log: list[dict[str, Any]] = [{"step": 0, "epoch": 0.0, **validate(rechead, scorer, valid)}]
    best, step = BestWeights(rechead, Best(metric=SELECTION_METRIC, patience=config.patience)), 0
    best.see(log[0][f"eval_{SELECTION_METRIC}"], 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        for epoch in range(1, config.max_epochs + 1):
            rechead.train()
            losses = []
            for rows in torch.randperm(len(train), generator=generator).split(config.batch_size):
                loss = batch_loss(rechead, scorer, train, rows, config.negatives, generator)
                if not bool(torch.isfinite(loss)):
                    raise ReckonError(
                        f"Stage I, epoch {epoch}: the loss is {loss.item()}: training has diverged. "
                        "Fix: lower stage_one.learning_rate, or raise rechead.tau."
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(rechead.parameters(), 1.0)
                optimizer.step()
                losses.append(float(loss.detach()) * len(rows))
                step += 1
            log.append({"step": step, "epoch": float(epoch), "loss": sum(losses) / len(train)})
            log.append({"step": step, "epoch": float(epoch), **validate(rechead, scorer, valid)})
            on_epoch(1)
            best.see(log[-1][f"eval_{SELECTION_METRIC}"], epoch)
            if best.is_spent(epoch):
                break
    best.restore()
    rechead.eval()
    return log


def batch_loss(
    rechead: Rechead, scorer: Scorer, rows_of: RecheadRows, rows: Tensor, negatives: int, generator: torch.Generator
) -> Tensor:
    """Mean over rows [n] of -log p(v+), with p over the target and the negatives: a scalar.

    Negatives that equal the target or are excluded for the user are masked. The target itself must not be excluded
    (`reckon.methods.validation.reachable`).
    """
    users = rechead(rows_of.texts[rows], rows_of.parsed[rows])  # [n, D]
    targets, total = rows_of.targets[rows], len(scorer.items)
    if negatives == 0:
        columns = torch.arange(total).expand(len(rows), total)
        scores, place = item_scores(users / scorer.tau, scorer.items, scorer.bias), targets
        absent = torch.zeros(len(rows), total, dtype=torch.bool)
    else:
        drawn = torch.randint(total, (len(rows), negatives), generator=generator)
        columns = torch.cat([targets[:, None], drawn], dim=1)  # [n, 1 + k]
        scores = torch.einsum("nd,nkd->nk", users / scorer.tau, scorer.items[columns])
        if scorer.bias is not None:
            scores = scores + scorer.bias[columns]
        place = torch.zeros(len(rows), dtype=torch.long)
        absent = columns == targets[:, None]
        absent[:, 0] = False
    if rows_of.seen is not None:
        for row, number in enumerate(rows.tolist()):
            absent[row] |= torch.isin(columns[row], torch.from_numpy(rows_of.seen[number]).long())
    return cross_entropy(scores.masked_fill(absent, -torch.inf), place)


def user_vectors(rechead: Rechead, texts: Tensor, parsed: Tensor, tau: float, rows_at_once: int = 4096) -> Tensor:
    """User vectors h_u / tau of all rows, without gradient: [R, D]."""
    rechead.eval()
    with torch.no_grad():
        parts = [
            rechead(texts[start : start + rows_at_once], parsed[start : start + rows_at_once])
            for start in range(0, len(texts), rows_at_once)
        ]
    return torch.cat(parts) / tau if parts else texts.new_zeros(0, rechead.width)


def validate(rechead: Rechead, scorer: Scorer, rows: RecheadRows) -> dict[str, float]:
    """NDCG@10 and Hit@10 in the whole catalog. Denominator: all rows."""
    users = user_vectors(rechead, rows.texts, rows.parsed, scorer.tau)
    ranks = target_ranks(users, scorer.items, rows.targets, bias=scorer.bias, exclude=rows.seen)
    return {
        f"eval_{name}": float(rank_values(ranks.numpy(), name, len(scorer.items)).mean())
        for name in (SELECTION_METRIC, "hit@10")
    }
