"""Sequences to train a next-item network on, and the one loop that trains all of them.

Entry points: `SequenceNetwork`, which a network subclasses by saying how tokens become hidden states, and `train`.
`reckon.baselines.sequential.sequence_baseline` makes a recommender of a network.

A token is an item index, or I, the blank: what a causal network reads before the first item (so that the first item
is predicted too, and a user without history gets a list), and what BERT4Rec reads in place of a hidden item. Rows are
padded on the right with blanks. A causal network never looks right; BERT4Rec and Caser are told the lengths. So no
padding influences a user.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from reckon.data.examples import IntArray
from reckon.errors import ConfigError
from reckon.training.best import Best, BestWeights
from reckon.training.one_process import require_one_process

STEPS_PER_ROUND = 50  # at least: all networks learn popularity first, and small data must not stop there
NOT_A_TARGET = -1
POSITIONS_AT_ONCE = 64  # in the loss on a CPU: their scores then stay in its cache, which is almost twice as fast
INITIAL_STD = 0.02  # of vectors; a step of Adam moves them by about 0.001, so larger ones take longer to turn


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConfig:
    """Settings that all sequential networks share."""

    width: int = 64
    """Width of item vectors and hidden states (D), > 0."""

    max_length: int = 50
    """Events that are read at once, > 0: longer histories lose their oldest events. In training they are cut into
    pieces, so that every event is a target once."""

    dropout: float = 0.2
    """Share of activations that is dropped in training, in [0, 1)."""

    epochs: int = 100
    """Passes over the training data, at most, > 0. Very small data is passed several times in one."""

    patience: int = 8
    """Stop after this many passes without a better NDCG@10 on the validation rows, > 0."""

    batch_size: int = 128
    """Sequences in each optimizer step, > 0."""

    learning_rate: float = 1e-3
    """Step size of AdamW, > 0."""

    weight_decay: float = 0.01
    """Decay of AdamW, >= 0."""

    validation_rows: int = 5_000
    """Validation rows that decide when to stop, drawn once, > 0."""

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
    """n rows of tokens for a network, and what it should say about them."""

    tokens: Tensor
    """[n, T] item indices, or I for a blank; right of a row's length only blanks."""
    lengths: Tensor
    """[n] how many tokens of each row count, > 0."""
    targets: Tensor
    """[n, T] the item to predict at each position; -1 where there is none."""


class SequenceNetwork(nn.Module, ABC):
    """Item vectors, and hidden states that are compared with them: score(i) = hidden · item i + bias i.

    This class reads and learns causally: each position predicts the next item. BERT4Rec overrides both.
    """

    def __init__(self, items: int, config: SequenceConfig) -> None:
        super().__init__()
        self.blank, self.max_length = items, config.max_length
        self.items = nn.Embedding(items + 1, config.width)  # the last row is the blank
        self.bias = nn.Parameter(torch.zeros(items))
        nn.init.normal_(self.items.weight, std=INITIAL_STD)

    @abstractmethod
    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states [n, T, D] of tokens [n, T], of which the first `lengths` [n] of each row count."""

    def rows_to_learn(self, sequences: Sequence[IntArray], generator: torch.Generator) -> Rows:
        """Rows from pieces of at most max_length items: position t reads items before t and predicts item t."""
        blank = [self.blank]
        tokens = self.padded([np.r_[blank, sequence[:-1]] for sequence in sequences], self.blank)
        return Rows(tokens, lengths_of(sequences), self.padded(sequences, NOT_A_TARGET))

    def rows_to_read(self, histories: Sequence[IntArray]) -> Rows:
        """Rows whose last position predicts what follows each history; no targets."""
        recent = [np.r_[[self.blank], latest(history, self.max_length - 1)] for history in histories]
        tokens = self.padded(recent, self.blank)
        return Rows(tokens, lengths_of(recent), torch.full_like(tokens, NOT_A_TARGET))

    def item_scores(self, hidden: Tensor) -> Tensor:
        """[n, I] for hidden states [n, D]."""
        return nn.functional.linear(hidden, self.items.weight[: self.blank], self.bias)

    def user_states(self, histories: Sequence[IntArray]) -> Tensor:
        """[n, D] the hidden state at which each history's next item is predicted."""
        rows = self.rows_to_read(histories)
        device = self.bias.device
        hidden = self(rows.tokens.to(device), rows.lengths.to(device))
        return hidden[torch.arange(len(hidden), device=device), rows.lengths.to(device) - 1]

    def padded(self, sequences: Sequence[IntArray], fill: int) -> Tensor:
        """[n, T] sequences with `fill` on the right, T the longest of them."""
        result = np.full((len(sequences), max(map(len, sequences))), fill, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            result[row, : len(sequence)] = sequence
        return torch.from_numpy(result)


def pieces(sequences: Sequence[IntArray], length: int) -> list[IntArray]:
    """Sequences cut into pieces of at most `length`, from the end: only a user's first piece may be shorter.

    A piece knows nothing of the piece before it, as a history longer than max_length knows nothing of its beginning.
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
    """Train on whole sequences until `validate` stops improving; the network then has its best state.

    Args:
        network: on the device where it is to be trained.
        sequences: item indices of each user's training events, oldest first.
        validate: a metric of the network as it is, higher is better; called before training and after each round.
        config: when to stop, and the optimizer's settings.
        seed: of shuffling, masking and dropout.
        on_progress: told the share of the epochs that are done.

    Returns:
        The best value of `validate`.
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
    """Mean cross-entropy of the softmax over the whole catalog, over all positions that have a target: [].

    SASRec's paper samples one negative for each target instead; with the whole catalog it learns far more from each
    step (Klenitskiy, Vasilev, "Turning dross into gold loss", arXiv:2309.07602).
    """
    device = network.bias.device
    hidden = network(rows.tokens.to(device), rows.lengths.to(device))  # [n, T, D]
    targets = rows.targets.to(device)
    wanted = targets != NOT_A_TARGET
    hidden, targets = hidden[wanted], targets[wanted]
    at_once = POSITIONS_AT_ONCE if device.type == "cpu" else len(targets)
    losses = [
        nn.functional.cross_entropy(network.item_scores(some), theirs, reduction="sum")
        for some, theirs in zip(hidden.split(at_once), targets.split(at_once), strict=True)
    ]
    return torch.stack(losses).sum() / len(targets)


def lengths_of(sequences: Sequence[IntArray]) -> Tensor:
    """[n]"""
    return torch.tensor([len(sequence) for sequence in sequences], dtype=torch.long)


def latest(history: IntArray, count: int) -> IntArray:
    """The last `count` items of a history, or all."""
    return np.asarray(history, dtype=np.int64)[max(0, len(history) - count) :]
