"""What the backbone of the bookshop's demo knows before any training: the kind of book that its reasoning names.

Entry point: `untrained_ranking`. A reply ends with a mood and a genre; books of that kind are ranked first, then those
of the genre, then the rest. No interaction is learned from: this row says what reading the shop's notes is worth alone.
"""

from collections.abc import Sequence

import numpy as np
import torch

from reckon.data import Examples
from reckon.data.examples import IntArray
from reckon.methods.r2ec import R2ec
from reckon.metrics import RankingResult
from reckon.models.scoring import target_ranks
from reckon.progress import phase
from reckon.simulation.bookshop import GENRE_NAMES, MOOD_NAMES, Bookshop

NAME = "untrained reasoning"
READERS_AT_ONCE = 64


def untrained_ranking(model: R2ec, examples: Examples, shop: Bookshop, books: IntArray) -> RankingResult:
    """Rank each row's target by the kind of book that the model's most likely reasoning names.

    A reply that names no kind leaves the order of the catalog; `parsed` is the share of replies that name both.

    Args:
        model: untrained; its item table is not read.
        examples: rows of the shop.
        shop: whose genres and moods the replies name.
        books: [I] the shop's number of each item index.
    """
    rows, ranks, named = [*examples], [], 0
    with phase("reading untrained reasoning", total=len(rows)) as reading:
        for start in range(0, len(rows), READERS_AT_ONCE):
            block = rows[start : start + READERS_AT_ONCE]
            replies = model.written(block)
            named += sum(-1 not in named_kind(reply) for reply in replies)
            scores = np.stack([kind_scores(reply, shop, books) for reply in replies])
            targets = torch.tensor([example.target for example in block])
            vectors = torch.eye(len(books))
            ranks.append(target_ranks(torch.from_numpy(scores), vectors, targets, exclude=model.seen(block)).numpy())
            reading.advance(len(block))
    rates = {"parsed": named / len(rows)}
    return RankingResult(NAME, np.concatenate(ranks), len(books), user_ids=examples.user_ids, rates=rates)


def kind_scores(reply: str, shop: Bookshop, books: IntArray) -> np.ndarray:
    """[I] float32 scores: 2 for books of the named mood and genre, 1 for those of the genre, less a tiny step for each
    item before, so that copies of one kind do not tie."""
    genre, mood = named_kind(reply)
    same_genre = shop.genres[books] == genre
    scores = same_genre.astype(np.float32) + (same_genre & (shop.moods[books] == mood))
    return (scores - np.arange(len(books)) / (4 * len(books))).astype(np.float32)


def named_kind(reply: str) -> tuple[int, int]:
    """Numbers of the genre and the mood that a reply names last; -1 where it names none."""
    return _last_named(reply, GENRE_NAMES), _last_named(reply, MOOD_NAMES)


def _last_named(reply: str, names: Sequence[str]) -> int:
    """Which of some words comes last in a text; -1 where none does."""
    words = [word.strip(".,;:") for word in reply.lower().split()]
    found = [names.index(word) for word in words if word in names]
    return found[-1] if found else -1
