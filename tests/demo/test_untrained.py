"""The row `untrained reasoning`: books ranked by the kind that a reply names."""

from types import SimpleNamespace

import numpy as np
import pytest

from reckon.demo.untrained import kind_scores, untrained_ranking
from reckon.simulation.bookshop import GENRE_NAMES, MOOD_NAMES, make_bookshop

SHOP = make_bookshop(np.random.default_rng(0))
BOOKS = np.arange(len(SHOP.titles))
GENRE, MOOD = GENRE_NAMES[3], MOOD_NAMES[2]


@pytest.mark.parametrize(
    "reply",
    [f"next: {MOOD} {GENRE}.", f"{GENRE_NAMES[0]} led to {MOOD_NAMES[0]}; now {MOOD.upper()}, {GENRE}"],
    ids=["kind alone", "the last kind counts"],
)
def test_books_of_the_named_kind_come_first_then_those_of_its_genre(reply):
    order = np.argsort(-kind_scores(reply, SHOP, BOOKS), kind="stable")
    kinds = [(int(SHOP.genres[book]), int(SHOP.moods[book])) for book in order]
    assert set(kinds[:5]) == {(3, 2)}
    assert {genre for genre, _ in kinds[:40]} == {3}


def test_no_two_books_tie():
    assert len(set(kind_scores(f"{MOOD} {GENRE}", SHOP, BOOKS).tolist())) == len(BOOKS)


def test_replies_that_name_no_kind_are_counted():
    replies = [f"{MOOD} {GENRE}", "no idea", GENRE]
    rows = [SimpleNamespace(target=int(book)) for book in BOOKS[:3]]
    model = SimpleNamespace(written=lambda block: replies, seen=lambda block: None)
    result = untrained_ranking(model, Rows(rows, ["a", "b", "c"]), SHOP, BOOKS)
    assert result.rates == {"parsed": pytest.approx(1 / 3)}


class Rows(list):
    """Examples as a list that knows its users."""

    def __init__(self, rows, user_ids):
        super().__init__(rows)
        self.user_ids = user_ids
