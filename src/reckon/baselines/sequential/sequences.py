"""Networks over item sequences, and their training loop.

Entry points: `SequenceNetwork`, whose subclasses define the hidden states of tokens, and `train`.
`reckon.baselines.sequential.sequence_baseline` makes a recommender from a network.

A token is an item index, or I, the blank. A causal network reads a blank before the first item, so that the first item
is predicted and an empty history gets a list. BERT4Rec reads a blank in place of a masked item. Rows are padded on the
right with blanks. Padding does not influence a user: a causal network never attends to later positions, and BERT4Rec
and Caser get the lengths.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reckon.data.examples import IntArray
from reckon.errors import ConfigError
from reckon.training.best import Best, BestWeights
from reckon.training.one_process import require_one_process

STEPS_PER_ROUND = 50  # at least; networks learn popularity first, and training on small data must not stop there
NOT_A_TARGET = -1
SCORES_KEPT = 1 << 26  # up to so many scores (256 MiB) are kept for the backward pass; more are computed again there
BLOCK_SCORES = 1 << 24  # then, per block: 64 MiB go back to the system when they are freed, smaller blocks do not
POSITIONS_AT_ONCE = 64  # per block of the loss on a CPU; the scores fit its cache: almost twice as fast
INITIAL_STD = 0.02  # of item vectors; a step of Adam moves them by about 0.001, so larger vectors learn more slowly


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig:
    """Settings that all sequential networks share."""

    width: int = 64
    """Width of item vectors and hidden states (D), > 0."""

    max_length: int = 50
    """Most events of one sequence, > 0. A longer history loses its oldest events; a longer training sequence is cut
    into pieces, so that every event is a target once."""

    dropout: float = 0.2
    """Dropout rate, in [0, 1)."""

    epochs: int = 100
    """Most rounds, > 0. A round is one pass over the training data, or several passes over very small data."""

    patience: int = 8
    """Training stops after this many rounds without a better validation NDCG@10, > 0."""

    batch_size: int = 128
    """Sequences in each optimizer step, > 0."""

    learning_rate: float = 1e-3
    """Learning rate of AdamW, > 0."""

    weight_decay: float = 0.01
    """Weight decay of AdamW, >= 0."""

    validation_rows: int = 5_000
    """Most validation rows for early stopping, drawn once, > 0."""

    def __post_init__(self) -> None:
        for field in ("width", "max_length", "epochs", "patience", "batch_size", "learning_rate", "validation_rows"):
            if not getattr(self, field) > 0:
                raise ConfigError(field, getattr(self, field), "must be positive", "use more than 0")
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout", self.dropout, "is a share", "use 0 or more, less than 1")
        if not self.weight_decay >= 0:
            raise ConfigError("weight_decay", self.weight_decay, "must not be negative", "use 0 or more")


@dataclass(frozen=True, slots=True)
class Rows:
    """n token sequences with their targets."""

    tokens: Tensor
    """[n, T] item indices, or I for a blank; only blanks beyond a row's length."""
    lengths: Tensor
    """[n] number of tokens of each row, without padding, > 0."""
    targets: Tensor
    """[n, T] item index to predict at each position; -1 for none."""


class SequenceNetwork(nn.Module, ABC):
    """A network of hidden states, with score(i) = hidden · item vector i + bias i.

    By default rows are causal: each position predicts the next item. BERT4Rec overrides `rows_to_learn` and
    `rows_to_read`.
    """

    def __init__(self, items: int, config: SequenceConfig) -> None:
        super().__init__()
        self.blank, self.max_length = items, config.max_length
        self.items = nn.Embedding(items + 1, config.width)  # the last row is the blank
        self.bias = nn.Parameter(torch.zeros(items))
        nn.init.normal_(self.items.weight, std=INITIAL_STD)

    @abstractmethod
    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states [n, T, D] of tokens [n, T]; the first `lengths` [n] tokens of each row are not padding."""

    def rows_to_learn(self, sequences: Sequence[IntArray], generator: torch.Generator) -> Rows:
        """Training rows from pieces of at most max_length items: position t reads the items before t and predicts item
        t."""
        blank = [self.blank]
        tokens = self.padded([np.r_[blank, sequence[:-1]] for sequence in sequences], self.blank)
        return Rows(tokens, lengths_of(sequences), self.padded(sequences, NOT_A_TARGET))

    def rows_to_read(self, histories: Sequence[IntArray]) -> Rows:
        """Rows whose last position predicts the next item of each history, without targets."""
        recent = [np.r_[[self.blank], latest(history, self.max_length - 1)] for history in histories]
        tokens = self.padded(recent, self.blank)
        return Rows(tokens, lengths_of(recent), torch.full_like(tokens, NOT_A_TARGET))

    def item_scores(self, hidden: Tensor) -> Tensor:
        """Scores [n, I] of hidden states [n, D]."""
        return nn.functional.linear(hidden, self.items.weight[: self.blank], self.bias)

    def user_states(self, histories: Sequence[IntArray]) -> Tensor:
        """Hidden state [n, D] that predicts the next item of each history."""
        rows = self.rows_to_read(histories)
        device = self.bias.device
        hidden = self(rows.tokens.to(device), rows.lengths.to(device))
        return hidden[torch.arange(len(hidden), device=device), rows.lengths.to(device) - 1]

    def padded(self, sequences: Sequence[IntArray], fill: int) -> Tensor:
        """Sequences as [n, T], padded on the right with `fill`; T is the longest length."""
        result = np.full((len(sequences), max(map(len, sequences))), fill, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            result[row, : len(sequence)] = sequence
        return torch.from_numpy(result)


def pieces(sequences: Sequence[IntArray], length: int) -> list[IntArray]:
    """Sequences cut from the end into pieces of at most `length`; only the first piece of a sequence may be shorter.

    A piece is read without the pieces before it, like a history that is longer than max_length.
    """
    return [sequence[max(0, end - length) : end] for sequence in sequences for end in range(len(sequence), 0, -length)]


def train(
    network: SequenceNetwork,
    sequences: Sequence[IntArray],
    validate: Callable[[], float],
    config: SequenceConfig,
    *,
    seed: int,
    on_progress: Callable[[float], None] | None = None,
) -> float:
    """Train until `validate` stops improving; the network ends with its best weights.

    Args:
        network: on its training device.
        sequences: item indices of each user's training events, oldest first.
        validate: metric of the present network, higher is better; called before training and after each round.
        config: settings of stopping and of the optimizer.
        seed: of shuffling, masking and dropout.
        on_progress: called with the share of the rounds done.

    Returns:
        Best value of `validate`.
    """
    require_one_process()
    data = pieces(sequences, config.max_length)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout draws from the global generator
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    batches_per_epoch = -(-len(data) // config.batch_size)
    epochs_per_round = -(-STEPS_PER_ROUND // batches_per_epoch)
    best = BestWeights(network, Best(metric="validation", patience=config.patience))
    best.see(validate(), 0)
    for round_number in range(1, config.epochs + 1):
        network.train()
        for _ in range(epochs_per_round):
            for batch in torch.randperm(len(data), generator=generator).split(config.batch_size):
                rows = network.rows_to_learn([data[place] for place in batch.tolist()], generator)
                optimizer.zero_grad(set_to_none=True)
                next_item_loss(network, rows).backward()
                optimizer.step()
        best.see(validate(), round_number)
        if on_progress is not None:
            on_progress(round_number / config.epochs)
        if best.is_spent(round_number):
            break
    best.restore()
    network.eval()
    assert best.best.value is not None
    return best.best.value


def next_item_loss(network: SequenceNetwork, rows: Rows) -> Tensor:
    """Cross-entropy of the softmax over the whole catalog, a scalar: the mean over all positions with a target.

    Departure from SASRec's paper, which samples one negative per target; the full softmax gives better results
    (Klenitskiy, Vasilev, "Turning dross into gold loss", arXiv:2309.07602).
    """
    device = network.bias.device
    hidden = network(rows.tokens.to(device), rows.lengths.to(device))  # [n, T, D]
    targets = rows.targets.to(device)
    wanted = targets != NOT_A_TARGET
    hidden, targets = hidden[wanted], targets[wanted]
    many = len(targets) * len(network.bias) > SCORES_KEPT
    at_once = POSITIONS_AT_ONCE if device.type == "cpu" else len(targets)
    if many:
        at_once = max(1, BLOCK_SCORES // len(network.bias))

    def loss_of(some: Tensor, theirs: Tensor) -> Tensor:
        return nn.functional.cross_entropy(network.item_scores(some), theirs, reduction="sum")

    blocks = zip(hidden.split(at_once), targets.split(at_once), strict=True)
    losses = [checkpoint(loss_of, *block, use_reentrant=False) if many else loss_of(*block) for block in blocks]
    return torch.stack(losses).sum() / len(targets)


def lengths_of(sequences: Sequence[IntArray]) -> Tensor:
    """[n]"""
    return torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)


def latest(history: IntArray, count: int) -> IntArray:
    """The last `count` items of a history, or all."""
    return np.asarray(history, dtype=np.int64)[max(0, len(history) - count) :]
