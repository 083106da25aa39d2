"""Notes on the rated bookshop: an expert's analysis of an example, in RecZero's four parts.

Entry point: `taste_summary`, for teachers and for pretraining texts. A right note follows from the exact posterior
given the example. A wrong note states random earlier ratings of the user, and a wrong prediction.
"""

from dataclasses import dataclass

import numpy as np

from reckon.data.ratings import Rated, RatingExample
from reckon.simulation.bookshop import GENRE_NAMES, MOOD_NAMES
from reckon.simulation.rated_bookshop import (
    QUALITY_WORDS,
    STARS,
    RatedBookshop,
    posterior_median,
    quality_posterior,
    quality_word,
    rating_distribution,
    reader_posterior,
)

MOST_WORDS = 2  # words of praise, and as many of blame
LENIENCY_WORDS = ("strict", "fair", "generous")
QUALITY_NAMES = ("poor", "average", "good")


@dataclass(frozen=True, slots=True)
class TasteNote:
    """The four parts of an analysis, without tags."""

    user: str
    """3 words: `a strict rater`."""
    item: str
    """At most 11 words: `a calm crime book [pos] vivid [neg] none`."""
    match: str
    """4 words: `gives calm 4, good`, the mean of the user's shown ratings of the mood or `unknown`, and the quality."""
    rating: str
    """A whole number of stars."""


def taste_summary(
    shop: RatedBookshop, example: RatingExample, rng: np.random.Generator, accuracy: float = 1.0
) -> TasteNote:
    """An expert's note on an example.

    Args:
        rng: random source; draws whether the note is right.
        accuracy: probability that the note is right; its rating is then the posterior median, which minimises the
            expected MAE. The rating of a wrong note is any other value.
    """
    book, mood = example.item_index, int(shop.moods[example.item_index])
    reader, quality = reader_posterior(shop, example.user_history, mood), quality_posterior(example.item_history)
    given = [round(rated.rating) for rated in example.user_history if shop.moods[rated.item_index] == mood]
    rating = int(posterior_median(rating_distribution(reader, quality, mood)[None])[0])
    if rng.random() >= accuracy:
        given = [int(stars) for stars in rng.choice(STARS, len(given))]
        rating = int(rng.choice(STARS[rating != STARS]))
    remembered = str(int(np.mean(given) + 0.5)) if given else "unknown"
    leniency = LENIENCY_WORDS[int(reader.sum(axis=0).argmax())]
    praise, blame = (_words(example.item_history, level) for level in (2, 0))
    return TasteNote(
        user=f"a {leniency} rater",
        item=f"a {MOOD_NAMES[mood]} {GENRE_NAMES[shop.genres[book]]} book [pos] {praise} [neg] {blame}",
        match=f"gives {MOOD_NAMES[mood]} {remembered}, {QUALITY_NAMES[int(quality.argmax())]}",
        rating=str(rating),
    )


def _words(history: tuple[Rated, ...], level: int) -> str:
    """The latest distinct words of praise (level 2) or blame (level 0) in the reviews, or `none`."""
    words = dict.fromkeys(quality_word(rated) for rated in reversed(history))
    return " ".join([word for word in words if word in QUALITY_WORDS[level]][:MOST_WORDS]) or "none"
