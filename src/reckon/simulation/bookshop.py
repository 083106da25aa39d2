"""The bookshop: simulated readers who follow a known process, so the best possible metrics are known.

Entry points: `write_bookshop` makes a dataset directory, `best_possible` scores the Bayes-optimal ranking.

480 books: 12 genres x 8 moods x 5. A title has one word that hints at its genre and one at its mood. A reader has
a steady mood and walks from genre to genre along a fixed map:

    next genre = map(genre)        with probability FOLLOW, else any genre, all equally likely
    mood of the next book = own    with probability STEADY, else any mood, all equally likely
    next book = any unread book of that genre and mood, all equally likely

Two kinds of text stand in for the prior knowledge of an open language model: item cards (genre and mood of each title)
and notes on other readers, whose conclusions are right with probability NOTE_ACCURACY. `reckon backbone new` pretrains
on them (`notes.parquet`); the recommender is trained on the interactions of a few readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reckon.data.dataset import Dataset
from reckon.data.examples import Examples
from reckon.data.prepare.write import write_dataset
from reckon.errors import DataError
from reckon.files import check_target, real_path
from reckon.metrics.ranking import rank_values

FOLLOW = 0.85
STEADY = 0.85
NOTE_ACCURACY = 0.55
COPIES = 5  # books of one genre and mood
CARDS_PER_BOOK = 2
WORDS = {"item": "book", "items": "books", "action": "read"}

GENRES: dict[str, tuple[str, ...]] = {
    "crime": ("Verdict", "Alibi", "Suspect", "Ransom", "Evidence"),
    "sea": ("Harbour", "Tide", "Sailor", "Lighthouse", "Anchor"),
    "space": ("Orbit", "Comet", "Rocket", "Nebula", "Planet"),
    "history": ("Empire", "Archive", "Dynasty", "Castle", "Treaty"),
    "romance": ("Wedding", "Kiss", "Letter", "Bouquet", "Promise"),
    "travel": ("Journey", "Passport", "Caravan", "Border", "Station"),
    "cooking": ("Kitchen", "Recipe", "Oven", "Spice", "Harvest"),
    "music": ("Sonata", "Violin", "Chorus", "Melody", "Drum"),
    "nature": ("Forest", "River", "Meadow", "Heron", "Moss"),
    "magic": ("Spell", "Wizard", "Potion", "Rune", "Dragon"),
    "war": ("Trench", "Soldier", "Siege", "Banner", "Battalion"),
    "school": ("Lesson", "Teacher", "Exam", "Chalk", "Campus"),
}
MOODS: dict[str, tuple[str, ...]] = {
    "calm": ("Quiet", "Still", "Gentle", "Soft", "Patient"),
    "dark": ("Black", "Midnight", "Shadowed", "Bitter", "Hollow"),
    "funny": ("Silly", "Clumsy", "Laughing", "Absurd", "Cheeky"),
    "sad": ("Weeping", "Lost", "Broken", "Lonely", "Fading"),
    "brave": ("Bold", "Fearless", "Daring", "Proud", "Valiant"),
    "warm": ("Golden", "Tender", "Cosy", "Sunny", "Kind"),
    "strange": ("Odd", "Crooked", "Uncanny", "Twisted", "Curious"),
    "wild": ("Savage", "Raging", "Untamed", "Reckless", "Feral"),
}
GENRE_NAMES, MOOD_NAMES = tuple(GENRES), tuple(MOODS)


@dataclass(frozen=True, slots=True)
class Bookshop:
    """The hidden state of the shop. Book number: (genre * 8 + mood) * COPIES + copy."""

    genre_map: np.ndarray  # [12] the genre after each genre: one cycle through all genres
    titles: tuple[str, ...]  # [480]

    @property
    def genres(self) -> np.ndarray:
        """[480] genre of each book."""
        return np.arange(len(self.titles)) // (COPIES * len(MOODS))

    @property
    def moods(self) -> np.ndarray:
        """[480] mood of each book."""
        return np.arange(len(self.titles)) // COPIES % len(MOODS)


def make_bookshop(rng: np.random.Generator) -> Bookshop:
    """Draw the genre map and pair hint words into titles."""
    order = rng.permutation(len(GENRES))
    genre_map = np.empty(len(GENRES), dtype=np.int64)
    genre_map[order] = np.roll(order, -1)
    titles = []
    for genre_words in GENRES.values():
        for mood_words in MOODS.values():
            pairing = rng.permutation(COPIES)
            titles += [f"{mood_words[pairing[copy]]} {genre_words[copy]}" for copy in range(COPIES)]
    return Bookshop(genre_map, tuple(titles))


def simulate_reader(shop: Bookshop, length: int, rng: np.random.Generator) -> list[int]:
    """Books of one reader, oldest first; no book twice."""
    mood, genre = int(rng.integers(len(MOODS))), int(rng.integers(len(GENRES)))
    after = shop.genre_map.tolist()
    books: list[int] = []
    while len(books) < length:
        if books:
            genre = after[genre] if rng.random() < FOLLOW else int(rng.integers(len(GENRES)))
        book_mood = mood if rng.random() < STEADY else int(rng.integers(len(MOODS)))
        first = (genre * len(MOODS) + book_mood) * COPIES
        unread = [book for book in range(first, first + COPIES) if book not in books]
        if unread:
            books.append(unread[rng.integers(len(unread))])
    return books


def next_book_probabilities(shop: Bookshop, history: Sequence[int] | np.ndarray) -> np.ndarray:
    """Exact P(next book | history): [480], zero for books already read.

    The reader's mood is the only hidden state. Its posterior follows from the moods read so far; the next genre
    depends on the last book's genre alone.
    """
    moods = shop.moods[list(history)]  # [H]
    own = np.eye(len(MOODS)) * STEADY + (1 - STEADY) / len(MOODS)  # [reader's mood, book's mood]
    log_posterior = np.log(own[:, moods]).sum(axis=1)
    posterior = np.exp(log_posterior - log_posterior.max())
    next_mood = posterior / posterior.sum() @ own  # [8]
    next_genre = np.full(len(GENRES), (1 - FOLLOW) / len(GENRES))
    next_genre[shop.genre_map[shop.genres[history[-1]]]] += FOLLOW
    cell = next_genre[shop.genres] * next_mood[shop.moods]  # [480] probability of the book's cell
    unread = np.ones(len(shop.titles))
    unread[list(history)] = 0
    cells = shop.genres * len(MOODS) + shop.moods
    unread_in_cell = np.bincount(cells, weights=unread)[cells]
    probabilities = np.divide(cell * unread, unread_in_cell, out=np.zeros_like(cell), where=unread_in_cell > 0)
    return probabilities / probabilities.sum()


def best_possible(
    shop: Bookshop, examples: Examples, book_of_item: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, float]:
    """Expected Hit@K and NDCG@K of the Bayes-optimal ranking of each row.

    Args:
        examples: R rows of the shop.
        book_of_item: [I] the shop's number of each item index.
        cutoffs: values of K.

    Returns:
        `hit@K` and `ndcg@K`: mean over the R rows of the expectation under the exact posterior. The values do not
        depend on the drawn targets or on tie-breaking.
    """
    deepest = max(cutoffs)
    top = np.stack(
        [
            np.sort(next_book_probabilities(shop, book_of_item[examples.history(row)]))[::-1][:deepest]
            for row in range(len(examples))
        ]
    )  # [R, K] probability that the target is the book at each rank
    discount = rank_values(np.arange(1, top.shape[1] + 1), f"ndcg@{deepest}", len(shop.titles))  # [K]
    result = {f"hit@{k}": float(top[:, :k].sum(axis=1).mean()) for k in cutoffs}
    return result | {f"ndcg@{k}": float((top * discount)[:, :k].sum(axis=1).mean()) for k in cutoffs}


def item_card(shop: Bookshop, book: int) -> tuple[str, str]:
    """A pretraining text on one book, as (prompt, reply): its title, then its genre and mood."""
    return shop.titles[book], f"<answer>{kind(shop.moods[book], shop.genres[book])}"


def reader_note(shop: Bookshop, history: Sequence[int], rng: np.random.Generator) -> tuple[str, str]:
    """A pretraining text on one history, as (prompt, reply): a compact R2ec prompt and a reasoning.

    The reasoning names the likely next genre and mood with probability NOTE_ACCURACY, else random ones.
    """
    lines = "\n".join(f"[{shop.titles[book]}]" for book in history)
    last_genre = shop.genres[history[-1]]
    mood = int(np.bincount(shop.moods[list(history)], minlength=len(MOODS)).argmax())
    genre = int(shop.genre_map[last_genre])
    if rng.random() > NOTE_ACCURACY:
        mood, genre = int(rng.integers(len(MOODS))), int(rng.integers(len(GENRES)))
    reasoning = f"after {GENRE_NAMES[last_genre]} comes {GENRE_NAMES[genre]}, mood {MOOD_NAMES[mood]}"
    return f"{WORDS['action']}:\n{lines}\nreasoning:\n", f"{reasoning}<answer>{kind(mood, genre)}"


def kind(mood: int, genre: int) -> str:
    """Mood and genre of a book in three words."""
    return f"{MOOD_NAMES[mood]} {GENRE_NAMES[genre]} book"


def write_bookshop(
    out: str | Path,
    *,
    seed: int = 0,
    train_readers: int = 300,
    valid_readers: int = 300,
    test_readers: int = 1000,
    notes: int = 4000,
    overwrite: bool = False,
) -> Path:
    """Simulate the shop and write it as a dataset directory with given validation and test rows.

    Args:
        out: the directory to make.
        seed: of all random draws.
        train_readers: readers whose whole histories are training events.
        valid_readers, test_readers: other readers, one row each: the last book is the target.
        notes: reader notes for pretraining, on readers that are in no split.
    """
    check_target(real_path(out), overwrite=overwrite)
    rng = np.random.default_rng(seed)
    shop = make_bookshop(rng)

    def reader() -> list[int]:
        return simulate_reader(shop, int(rng.integers(4, 9)), rng)

    ids = [f"book-{number:03d}" for number in rng.permutation(len(shop.titles))]  # independent of genre and mood
    order = np.argsort(ids)
    items = pa.table({"item_id": [ids[book] for book in order], "title": [shop.titles[book] for book in order]})
    events = [(f"train-{n:04d}", ids[book]) for n in range(train_readers) for book in reader()]
    interactions = pa.table({"user_id": [user for user, _ in events], "item_id": [item for _, item in events]})
    given = [
        (split, f"{split}-{n:04d}", [ids[book] for book in reader()])
        for split, count in (("valid", valid_readers), ("test", test_readers))
        for n in range(count)
    ]
    rows = pa.table(
        {
            "split": [split for split, _, _ in given],
            "user_id": [user for _, user, _ in given],
            "history": [books[:-1] for _, _, books in given],
            "item_id": [books[-1] for _, _, books in given],
        }
    )
    texts = [item_card(shop, book) for book in range(len(shop.titles))] * CARDS_PER_BOOK
    texts += [reader_note(shop, reader()[:-1], rng) for _ in range(notes)]
    texts = [texts[i] for i in rng.permutation(len(texts))]
    pairs = pa.table({"prompt": [read for read, _ in texts], "text": [written for _, written in texts]})
    return write_dataset(
        Path(out),
        items,
        interactions,
        rows=rows,
        split="given",
        words=WORDS,
        overwrite=overwrite,
        source={"name": "bookshop", "seed": seed, "genre_map": shop.genre_map.tolist(), "titles": list(shop.titles)},
        tie_rule="simulated one after the other; there are no ties",
        extra={"notes": pairs},
    )


def shop_of(dataset: Dataset) -> tuple[Bookshop, np.ndarray]:
    """The hidden state of a bookshop data set, and the book number of each item index: [I]."""
    source = dataset.info["source"]
    if source["name"] != "bookshop":
        raise DataError(
            str(dataset.path), "is not a bookshop, so the best possible is unknown", "use a simulated data set"
        )
    shop = Bookshop(np.array(source["genre_map"]), tuple(source["titles"]))
    number = {title: book for book, title in enumerate(shop.titles)}
    return shop, np.array([number[title] for title in dataset.catalog.titles])
