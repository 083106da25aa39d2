"""The rated bookshop: simulated readers who rate and review books, with a known best possible error.

Entry points: `write_rated_bookshop` makes a dataset directory, `best_possible_ratings` gives the error of the
Bayes-optimal predictor. `reckon.simulation.notes` writes an ideal teacher's notes.

192 books: 12 genres x 8 moods x 2, with the titles of `reckon.simulation.bookshop`, which hint at the mood. All
quantities are drawn independently:

    reader   likes two moods, dislikes two others, reads no other mood, all equally likely; leniency -1, 0 or 1
    book     quality -1, 0 or 1
    choice   any unread book of the reader's four moods, all equally likely
    rating   3 + (TASTE if the mood is liked, else -TASTE) + quality + leniency + noise, clipped to 1..5
    review   a word on the quality, right with probability WORD_ACCURACY, and the mood: `gripping calm`

Taste has the largest share of the variance (1 of 1.9 before clipping; quality 0.4, leniency 0.3). It depends on user
and mood together, so no sum of a user bias and an item bias predicts it. A model that reads titles can predict it from
the user's ratings of books of the same mood.
"""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa

from reckon.data.dataset import Dataset
from reckon.data.examples import FloatArray, IntArray
from reckon.data.prepare.write import write_dataset
from reckon.data.ratings import Rated, RatingExample, RatingExamples
from reckon.data.scale import Scale
from reckon.errors import DataError
from reckon.files import check_target, real_path
from reckon.simulation.bookshop import COPIES as TITLES_PER_KIND
from reckon.simulation.bookshop import GENRE_NAMES, MOOD_NAMES, MOODS, WORDS, make_bookshop

NAME = "rated-bookshop"
SCALE = Scale(1, 5, 1)
STARS = np.arange(1, 6)  # [5]
COPIES = 2  # books of one genre and mood
TASTE = 1  # stars
LEVELS = np.array([-1, 0, 1])  # levels of quality, leniency and noise
QUALITY = np.array([0.2, 0.6, 0.2])  # probability of each level
LENIENCY = np.array([0.15, 0.7, 0.15])
NOISE = np.array([0.1, 0.8, 0.1])
WORD_ACCURACY = 0.7  # probability that the review's word is of the true quality; else of another level
QUALITY_WORDS: tuple[tuple[str, ...], ...] = (
    ("flat", "sloppy", "tedious", "muddled"),
    ("decent", "uneven", "ordinary", "passable"),
    ("gripping", "polished", "vivid", "masterly"),
)  # words of each level
SHORTEST, LONGEST = 8, 16  # bounds of the ratings per reader
DAYS = 1000  # length of the simulation
READING_DAYS = 300  # most days between a reader's first and last rating
FIRST_DAY = 15_000 * 86_400  # seconds since 1970


@dataclass(frozen=True, slots=True)
class RatedBookshop:
    """Hidden properties of the books. Arrays are by item index."""

    genres: IntArray  # [I]
    moods: IntArray  # [I]
    quality: IntArray  # [I] -1, 0 or 1


@dataclass(frozen=True, slots=True)
class Reader:
    """Hidden properties of a reader."""

    liked: tuple[int, int]
    """Moods."""
    disliked: tuple[int, int]
    leniency: int


def write_rated_bookshop(out: str | Path, *, seed: int = 0, readers: int = 800, overwrite: bool = False) -> Path:
    """Simulate the shop and write it as a dataset directory with a temporal split.

    Args:
        out: the directory to make.
        seed: of all random draws.
        readers: each rates 8 to 16 books within 300 of the shop's 1000 days, no two on one day.
        overwrite: replace an existing dataset directory.
    """
    check_target(real_path(out), overwrite=overwrite)
    rng = np.random.default_rng(seed)
    titles = np.array(make_bookshop(rng).titles).reshape(-1, TITLES_PER_KIND)[:, :COPIES].ravel()  # [192]
    kinds = np.arange(len(titles)) // COPIES
    shop = RatedBookshop(kinds // len(MOODS), kinds % len(MOODS), rng.choice(LEVELS, len(titles), p=QUALITY))
    books = [f"book-{number:03d}" for number in rng.permutation(len(titles))]  # independent of genre and mood
    people = {f"reader-{n:04d}": draw_reader(rng) for n in range(readers)}
    events = [(user, *event) for user, reader in people.items() for event in simulate_ratings(shop, reader, rng)]
    users, taken, days, ratings, summaries, reviews = (list(column) for column in zip(*events, strict=True))
    interactions = pa.table(
        {
            "user_id": users,
            "item_id": [books[book] for book in taken],
            "timestamp": FIRST_DAY + 86_400 * np.array(days, dtype=np.int64),
            "rating": pa.array(ratings, pa.float32()),
            "summary": summaries,
            "review": reviews,
        }
    )
    return write_dataset(
        Path(out),
        pa.table({"item_id": books, "title": titles.tolist()}),
        interactions,
        source={
            "name": NAME,
            "seed": seed,
            "books": {books[n]: _book_record(shop, n) for n in range(len(books))},
            "readers": {user: _reader_record(reader) for user, reader in people.items()},
        },
        split="temporal",
        words=WORDS,
        tie_rule="simulated: a reader rates one book a day, so there are no ties",
        rating_scale=SCALE,
        overwrite=overwrite,
    )


def rated_shop_of(dataset: Dataset) -> RatedBookshop:
    """The hidden state of a rated bookshop, by the item indices of its data set."""
    source = dataset.info["source"]
    if source["name"] != NAME:
        raise DataError(
            str(dataset.path), f"is no {NAME}, so the best possible is unknown", f"use `reckon data prepare {NAME}`"
        )
    records = [source["books"][item_id].split() for item_id in dataset.catalog.ids]
    return RatedBookshop(
        np.array([GENRE_NAMES.index(genre) for _, genre, _ in records]),
        np.array([MOOD_NAMES.index(mood) for mood, _, _ in records]),
        np.array([int(quality) for _, _, quality in records]),
    )


def draw_reader(rng: np.random.Generator) -> Reader:
    """Draw two liked moods, two disliked moods and a leniency."""
    first, second, third, fourth = (int(mood) for mood in rng.choice(len(MOODS), 4, replace=False))
    return Reader((first, second), (third, fourth), int(rng.choice(LEVELS, p=LENIENCY)))


def simulate_ratings(
    shop: RatedBookshop, reader: Reader, rng: np.random.Generator
) -> list[tuple[int, int, int, str, str]]:
    """All ratings of one reader, oldest first: (book, day, rating, summary, text)."""
    shelf = np.flatnonzero(np.isin(shop.moods, reader.liked + reader.disliked))
    books = rng.permutation(shelf)[: rng.integers(SHORTEST, LONGEST + 1)]
    start = rng.integers(DAYS - READING_DAYS + 1)
    days = np.sort(rng.choice(READING_DAYS, len(books), replace=False)) + start
    return [(int(book), int(day), *_rate(shop, reader, int(book), rng)) for book, day in zip(books, days, strict=True)]


def _rate(shop: RatedBookshop, reader: Reader, book: int, rng: np.random.Generator) -> tuple[int, str, str]:
    mood, quality = int(shop.moods[book]), int(shop.quality[book])
    taste = TASTE if mood in reader.liked else -TASTE
    rating = 3 + taste + quality + reader.leniency + _level(NOISE, rng)
    words = QUALITY_WORDS[_level(_WORD[quality + 1], rng) + 1]
    word = words[rng.integers(len(words))]
    return min(max(rating, 1), 5), f"{word} {MOOD_NAMES[mood]}", f"A {MOOD_NAMES[mood]} book, and {word}."


def _level(probabilities: FloatArray, rng: np.random.Generator) -> int:
    """One of LEVELS by its probability. `rng.choice` draws the same one and takes several times as long."""
    cumulative = probabilities.cumsum()
    return int(LEVELS[(cumulative / cumulative[-1]).searchsorted(rng.random(), side="right")])


def best_possible_ratings(
    shop: RatedBookshop, examples: RatingExamples, *, quality_known: bool = False
) -> dict[str, float]:
    """Expected MAE and RMSE of the Bayes-optimal predictions given each example.

    The predictor knows how the shop works and reads titles, ratings and reviews of the user's and the item's histories
    within the example's windows. It does not read `user_mean` and `item_mean`, which count ratings outside the windows:
    pass unbounded windows to bound a model that reads the means. It does not know a book's quality from training data:
    `quality_known` gives it every book's quality, which bounds such a model.

    Returns:
        `mae` of the posterior medians and `rmse` of the posterior means, in stars, over the R rows: expectations under
        the exact posterior, which do not depend on the drawn ratings.
    """
    predictive = oracle_predictions(shop, examples, quality_known=quality_known)
    median, mean = posterior_median(predictive), predictive @ STARS
    absolute = (predictive * np.abs(STARS - median[:, None])).sum(axis=1)
    squared = (predictive * (STARS - mean[:, None]) ** 2).sum(axis=1)
    return {"mae": float(absolute.mean()), "rmse": float(np.sqrt(squared.mean()))}


def posterior_median(predictive: FloatArray) -> IntArray:
    """Median rating of distributions [R, 5]: [R], the lowest rating with a cumulative probability of 1/2; it minimises
    the MAE."""
    return STARS[(predictive.cumsum(axis=1) < 0.5 - 1e-12).sum(axis=1)]


def oracle_predictions(shop: RatedBookshop, examples: RatingExamples, *, quality_known: bool = False) -> FloatArray:
    """P(rating | example) for every row: [R, 5]. See `best_possible_ratings` for the part of an example that is
    read."""
    return np.stack([predictive_distribution(shop, example, quality_known=quality_known) for example in examples])


def predictive_distribution(shop: RatedBookshop, example: RatingExample, *, quality_known: bool = False) -> FloatArray:
    """P(rating | example): [5]. Reader and book quality are independent given the example."""
    mood = int(shop.moods[example.item_index])
    quality = quality_posterior(example.item_history)
    if quality_known:
        quality = (shop.quality[example.item_index] == LEVELS).astype(float)
    return rating_distribution(reader_posterior(shop, example.user_history, mood), quality, mood)


def rating_distribution(reader: FloatArray, quality: FloatArray, mood: int) -> FloatArray:
    """P(rating) of a book: [5], from the posterior [T, 3] of a reader of its mood and the posterior [3] of its
    quality."""
    liked = _TASTES[:, mood] == 1  # [T]
    taste = np.stack([reader[~liked].sum(axis=0), reader[liked].sum(axis=0)])  # [disliked or liked, leniency]
    return np.einsum("tl,q,tlqr->r", taste, quality, _RATING)


def reader_posterior(shop: RatedBookshop, history: tuple[Rated, ...], target_mood: int | None = None) -> FloatArray:
    """P(taste, leniency | ratings, reviews, the user reads the target's mood): [T, 3].

    The chosen books tell which moods the user reads; all sequences of books of these moods are equally likely.
    """
    read = np.ones(len(_TASTES)) if target_mood is None else _TASTES[:, target_mood] != 0  # [T]
    weight = _normalised(read[:, None] * LENIENCY)  # [T, 3]
    for rated in history:
        taste = _TASTES[:, shop.moods[rated.item_index]]  # [T]
        seen = _RATED_BY_USER[(taste + 1) // 2, :, _word_level(rated), round(rated.rating) - 1]  # [T, 3]
        weight = _normalised(weight * seen * (taste != 0)[:, None])
    return weight


def quality_posterior(history: tuple[Rated, ...]) -> FloatArray:
    """P(quality | other readers' ratings and reviews of the book): [3]. Each reader may like or dislike its mood."""
    weight = QUALITY
    for rated in history:
        weight = _normalised(weight * _RATED_BOOK[:, _word_level(rated), round(rated.rating) - 1])
    return weight


def _normalised(weight: FloatArray) -> FloatArray:
    total = weight.sum()
    if total == 0:
        raise DataError("history", "has probability 0 in the rated bookshop", "use a history of its data set")
    return weight / total


def quality_word(rated: Rated) -> str:
    """The quality word of a review: `gripping` of the headline `gripping calm`."""
    return rated.summary.partition(" ")[0]


def _word_level(rated: Rated) -> int:
    """Level (0, 1 or 2) of the review's quality word."""
    return _LEVEL_OF_WORD[quality_word(rated)]


def _book_record(shop: RatedBookshop, book: int) -> str:
    return f"{MOOD_NAMES[shop.moods[book]]} {GENRE_NAMES[shop.genres[book]]} {shop.quality[book]}"


def _reader_record(reader: Reader) -> str:
    likes, dislikes = ([MOOD_NAMES[mood] for mood in moods] for moods in (reader.liked, reader.disliked))
    return f"likes {likes[0]} {likes[1]} dislikes {dislikes[0]} {dislikes[1]} leniency {reader.leniency}"


def _rating_table() -> FloatArray:
    """P(rating | taste, leniency, quality): [2, 3, 3, 5]; taste 0 is disliked, 1 liked."""
    table = np.zeros((2, 3, 3, 5))
    for place in np.ndindex(2, 3, 3, 3):
        taste, leniency, quality, noise = place
        rating = 3 + TASTE * (2 * taste - 1) + LEVELS[leniency] + LEVELS[quality] + LEVELS[noise]
        table[taste, leniency, quality, np.clip(rating, 1, 5) - 1] += NOISE[noise]
    return table


def _tastes() -> IntArray:
    """All tastes: [420, 8], with 1 for two liked moods, -1 for two disliked ones, 0 for moods that are not read."""
    rows = []
    for liked in combinations(range(len(MOODS)), 2):
        for disliked in combinations(sorted(set(range(len(MOODS))) - set(liked)), 2):
            rows.append([1 if mood in liked else -1 if mood in disliked else 0 for mood in range(len(MOODS))])
    return np.array(rows)


_LEVEL_OF_WORD = {word: level for level, words in enumerate(QUALITY_WORDS) for word in words}
_TASTES = _tastes()
_RATING = _rating_table()
_WORD = np.eye(3) * WORD_ACCURACY + (1 - np.eye(3)) * (1 - WORD_ACCURACY) / 2  # [quality, level of the word]
# P(rating, word | taste, leniency), the book's quality unknown: [2, 3, 3 words, 5]
_RATED_BY_USER = np.einsum("q,qw,tlqr->tlwr", QUALITY, _WORD, _RATING)
# P(rating, word | quality), the rater unknown: [3, 3 words, 5]. A reader likes half of the moods that it reads.
_RATED_BOOK = np.einsum("l,qw,tlqr->qwr", LENIENCY / 2, _WORD, _RATING)
