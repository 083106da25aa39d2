"""Notes on the rated bookshop: what somebody who knows it well would write about an example, in RecZero's four parts.

Entry point: `taste_summary`, for teachers and for pretraining texts. A right note draws its conclusions from the exact
posterior given what the example shows; a wrong one mixes up the moods, and its rating is wrong.
"""

from dataclasses import dataclass

import numpy as np

from reckon.data.bookshop import GENRE_NAMES, MOOD_NAMES
from reckon.data.bookshop_ratings import (
    QUALITY_WORDS,
    STARS,
    RatedBookshop,
    posterior_median,
    quality_posterior,
    quality_word,
    rating_distribution,
    reader_posterior,
    taste_probabilities,
)
from reckon.data.examples import FloatArray
from reckon.data.ratings import Rated, RatingExample

SURE = 0.6  # probability from which a note states a liking
MOST_WORDS = 2  # of praise, and of blame
LENIENCY_WORDS = ("strict", "fair", "generous")
QUALITY_NAMES = ("poor", "average", "good")


@dataclass(frozen=True, slots=True)
class TasteNote:
    """The four parts of an analysis, without tags."""

    user: str
    """At most 8 words: `strict, likes calm warm, dislikes dark sad`."""
    item: str
    """At most 10 words: `calm crime book [pos] vivid [neg] none`."""
    match: str
    """At most 5 words: `liked mood, good book`."""
    rating: str
    """A whole number of stars."""


def taste_summary(
    shop: RatedBookshop, example: RatingExample, rng: np.random.Generator, accuracy: float = 1.0
) -> TasteNote:
    """What somebody would write about an example.

    Args:
        rng: decides whether the note is right.
        accuracy: probability that it is: its rating is then the posterior median, the best prediction for the MAE.
            Otherwise likes and dislikes are moods drawn at random, and the rating is any other one.
    """
    book, mood = example.item_index, int(shop.moods[example.item_index])
    reader, quality = reader_posterior(shop, example.user_history, mood), quality_posterior(example.item_history)
    likes, dislikes = taste_probabilities(reader)  # [8], [8]
    right = int(posterior_median(rating_distribution(reader, quality, mood)[None])[0])
    rating = right
    if rng.random() >= accuracy:
        mixed_up = rng.permutation(len(likes))
        likes, dislikes = likes[mixed_up], dislikes[mixed_up]
        rating = int(rng.choice(STARS[right != STARS]))
    leniency = LENIENCY_WORDS[int(reader.sum(axis=0).argmax())]
    liked, disliked = (" ".join(_sure(moods)) or "unknown" for moods in (likes, dislikes))
    praise, blame = (_words(example.item_history, level) for level in (2, 0))
    feeling = "liked" if likes[mood] >= SURE else "disliked" if dislikes[mood] >= SURE else "unknown"
    return TasteNote(
        user=f"{leniency}, likes {liked}, dislikes {disliked}",
        item=f"{MOOD_NAMES[mood]} {GENRE_NAMES[shop.genres[book]]} book [pos] {praise} [neg] {blame}",
        match=f"{feeling} mood, {QUALITY_NAMES[int(quality.argmax())]} book",
        rating=str(rating),
    )


def _sure(probabilities: FloatArray) -> list[str]:
    """The moods of which a liking is sure, in the order of their names in the shop; never more than two."""
    return [MOOD_NAMES[mood] for mood in np.flatnonzero(probabilities >= SURE)]


def _words(history: tuple[Rated, ...], level: int) -> str:
    """The newest different words of praise (level 2) or blame (0), or `none`."""
    words = dict.fromkeys(quality_word(rated) for rated in reversed(history))
    return " ".join([word for word in words if word in QUALITY_WORDS[level]][:MOST_WORDS]) or "none"
