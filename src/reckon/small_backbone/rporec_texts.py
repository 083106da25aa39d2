"""Pretraining texts for RPORec: prompts with replies, and reasonings with their summaries.

Entry point: `rporec_texts`. The replies hold no true target of RPORec's training rows:

- For the simulated bookshop, item cards, and notes on readers that are in no split, right with probability
  NOTE_ACCURACY: a stand-in for an open language model's knowledge of books and readers.
- For any other data, the titles of the history, and an answer drawn from the items that followed its last item in OTHER
  rows. The model learns the format of a reply and plausible answers. The row's own target must not be the answer: the
  model would memorise it, and Stage I would train the Rechead on answers that are right on training rows only.

A long reasoning goes through the events of the history, a short one gives only the conclusion; in the bookshop, longer
histories more often have a long reasoning. Some reasonings also appear with a summary as a text of their own, because
RPORec's rewards need a model that can summarise.

Only training interactions are read. Knows nothing of models.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from reckon.data import Dataset, Event, Example
from reckon.prompts import item_text
from reckon.prompts.cutting import cut_words
from reckon.prompts.plain import plain
from reckon.prompts.rporec import messages, summary_messages
from reckon.simulation.bookshop import (
    CARDS_PER_BOOK,
    COPIES,
    GENRE_NAMES,
    MOOD_NAMES,
    NOTE_ACCURACY,
    Bookshop,
    kind,
    shop_of,
    simulate_reader,
)
from reckon.small_backbone.next_item_texts import MAX_NOTES, NOTE_WINDOW, TITLE_WORDS, PretrainingText, in_few_words

BOOKSHOP = "bookshop"
SHOP_NOTES = 4000  # as many as R2ec's backbone reads
LONG_SHARE = 0.5  # share of long reasonings
# In the bookshop the share depends on the length of the history, so that under every seed the most likely reasoning is
# long for some readers and short for others. With long reasonings only, answers were so often wrong after 400 steps
# that Stage I was worse than the history alone (validation NDCG@10 of 0.18 and 0.22).
LONG_HISTORY, LONG_SHARE_THEN, LONG_SHARE_ELSE = 6, 0.8, 0.2
SUMMARY_EVERY = 3  # every third note also gets a summary
ANSWER_WORDS = 8  # words of an item in an answer; some shop titles have 30, and a reply has a token budget


def rporec_texts(dataset: Dataset, *, seed: int) -> list[PretrainingText]:
    """Prompts with replies, reasonings with summaries, and every item as an answer.

    Args:
        dataset: its catalog and training rows are read; for the bookshop, also its hidden state.
        seed: of all random draws.
    """
    rng = np.random.default_rng(seed)
    if dataset.info["source"]["name"] == BOOKSHOP:
        return [*_shop_texts(dataset, rng)]
    return [*_plain_texts(dataset, seed, rng)]


def _shop_texts(dataset: Dataset, rng: np.random.Generator) -> Iterator[PretrainingText]:
    shop, book_of_item = shop_of(dataset)
    item_of_book = np.argsort(book_of_item)
    for book, title in enumerate(shop.titles):
        yield PretrainingText("", f"<answer>{_book_answer(shop, book)}</answer>")
        for _ in range(CARDS_PER_BOOK):
            yield PretrainingText(f"[{title}]\n", kind(shop.moods[book], shop.genres[book]))
    for number in range(SHOP_NOTES):
        history = simulate_reader(shop, int(rng.integers(4, 9)), rng)[:-1]
        events = tuple(Event(int(item_of_book[book]), None, None) for book in history)
        long, short, answer = _shop_note(shop, history, rng)
        share = LONG_SHARE_THEN if len(history) >= LONG_HISTORY else LONG_SHARE_ELSE
        reasoning = long if rng.random() < share else short
        prompt = _prompt(dataset, Example("", events, -1, None), dataset.catalog.titles)
        yield from _note(prompt, reasoning, short, answer, number)


def _shop_note(shop: Bookshop, history: Sequence[int], rng: np.random.Generator) -> tuple[str, str, str]:
    """Long reasoning, short reasoning and answer; the conclusion is right with probability NOTE_ACCURACY."""
    last_genre = shop.genres[history[-1]]
    moods = shop.moods[list(history)]
    mood = int(np.bincount(moods, minlength=len(MOOD_NAMES)).argmax())
    genre = int(shop.genre_map[last_genre])
    if rng.random() > NOTE_ACCURACY:
        mood, genre = int(rng.integers(len(MOOD_NAMES))), int(rng.integers(len(GENRE_NAMES)))
    short = f"after {GENRE_NAMES[last_genre]} comes {GENRE_NAMES[genre]}, mood {MOOD_NAMES[mood]}"
    steps = ", ".join(f"{MOOD_NAMES[shop.moods[book]]} {GENRE_NAMES[shop.genres[book]]}" for book in history)
    cell = (genre * len(MOOD_NAMES) + mood) * COPIES + np.arange(COPIES)
    unread = np.setdiff1d(cell, history)
    return f"{steps}; {short}", short, _book_answer(shop, int(rng.choice(unread if len(unread) else cell)))


def _book_answer(shop: Bookshop, book: int) -> str:
    """An answer: mood and genre of the book, then its title."""
    return f"{kind(shop.moods[book], shop.genres[book])}: {shop.titles[book]}"


def _plain_texts(dataset: Dataset, seed: int, rng: np.random.Generator) -> Iterator[PretrainingText]:
    catalog = dataset.catalog
    texts = (item_text(catalog.record(index), ANSWER_WORDS) for index in range(len(catalog)))
    answers = [cut_words(text, ANSWER_WORDS) for text in texts]
    told, titles = in_few_words(catalog), [cut_words(plain(title), TITLE_WORDS) for title in catalog.titles]
    for answer in answers:
        yield PretrainingText("", f"<answer>{answer}</answer>")
    examples = dataset.examples("train", NOTE_WINDOW)
    followers = _Followers(dataset)
    for number, row in enumerate(np.sort(rng.permutation(len(examples))[:MAX_NOTES])):
        example = examples[int(row)]
        guess = followers.draw(example, rng)
        short = f"next {told[guess]}"
        steps = "; ".join(told[event.item_index] for event in example.history)
        reasoning = f"{steps}: {short}" if rng.random() < LONG_SHARE else short
        yield from _note(_prompt(dataset, example, titles), reasoning, short, answers[guess], number)


class _Followers:
    """The items that followed each item in training rows."""

    def __init__(self, dataset: Dataset) -> None:
        examples = dataset.examples("train", 1)
        self._after: dict[int, list[int]] = {}
        for row in range(len(examples)):
            for item in examples.history(row):
                self._after.setdefault(int(item), []).append(int(examples.targets[row]))
        self._items = len(dataset.catalog)

    def draw(self, example: Example, rng: np.random.Generator) -> int:
        """Draw an item that followed the example's last item in another row; else one of the history; else any item."""
        if not example.history:
            return int(rng.integers(self._items))
        others = list(self._after.get(example.history[-1].item_index, ()))
        if example.target in others:
            others.remove(example.target)  # the row's own target, once
        return int(rng.choice(others or [event.item_index for event in example.history]))


def _prompt(dataset: Dataset, example: Example, titles: Sequence[str]) -> str:
    return messages(example, titles, dataset.words, "compact")[0]["content"] + "\n"


def _note(prompt: str, reasoning: str, short: str, answer: str, number: int) -> Iterator[PretrainingText]:
    """A prompt with its reply and, for every SUMMARY_EVERY-th note, the reasoning with its summary."""
    yield PretrainingText(prompt, f"<think>{reasoning}</think><answer>{answer}</answer>")
    if number % SUMMARY_EVERY == 0:
        yield PretrainingText(summary_messages(reasoning, "compact")[0]["content"] + "\n", short)
