"""What a small backbone reads before it learns RPORec: prompts with replies, and reasonings with their summaries.

Entry point: `rporec_texts`. Two kinds of knowledge, neither of which is a true next item of the rows RPORec trains on:

- For the simulated bookshop, notes on readers that occur nowhere else, whose conclusions are right in NOTE_ACCURACY of
  the cases, and what each title is: a stand-in for what an open language model knows about books and readers.
- For any other data, what the history shows, and a guess drawn from what followed its last item in OTHER rows. The
  model learns the form of a reply and what a plausible guess is. A guess at the row's own target would be learned by
  heart: Stage I would then see answers that are right on training rows alone, and trust them everywhere.

Some reasonings go through the history one by one, others say the conclusion alone; in the bookshop the longer histories
are gone through more often. Some reasonings are followed by their summary as a task of its own, since RPORec's rewards
need a model that can say a reasoning in fewer words.

Only training interactions are read. Does not know about models.
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
LONG_SHARE = 0.5  # of reasonings that go through the history
# In the bookshop by the length of the history, so that the most likely reasoning is long for some readers and short for
# others, whatever the seed. Long everywhere, it was so often wrong after 400 steps that Stage I fell behind the history
# alone (0.18 and 0.22 validation NDCG@10).
LONG_HISTORY, LONG_SHARE_THEN, LONG_SHARE_ELSE = 6, 0.8, 0.2
SUMMARY_EVERY = 3  # one note in so many is also summarised
ANSWER_WORDS = 8  # of a guessed item: shop titles alone run to 30, and a reply has a budget of tokens


def rporec_texts(dataset: Dataset, *, seed: int) -> list[PretrainingText]:
    """Prompts and replies, reasonings and summaries, and every item as an answer.

    Args:
        dataset: its catalog and training rows are read; of the bookshop, what is known of its readers' taste.
        seed: of everything drawn.
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
    """Reasoning at length and in short, and the answer; the conclusion is right with probability NOTE_ACCURACY."""
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
    """What it is, which follows from the reasoning, then a title that is so."""
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
    """What followed each item in training rows."""

    def __init__(self, dataset: Dataset) -> None:
        examples = dataset.examples("train", 1)
        self._after: dict[int, list[int]] = {}
        for row in range(len(examples)):
            for item in examples.history(row):
                self._after.setdefault(int(item), []).append(int(examples.targets[row]))
        self._items = len(dataset.catalog)

    def draw(self, example: Example, rng: np.random.Generator) -> int:
        """An item that followed the example's last one in another row; without any, one of its history, or any item."""
        if not example.history:
            return int(rng.integers(self._items))
        others = list(self._after.get(example.history[-1].item_index, ()))
        if example.target in others:
            others.remove(example.target)  # once: this very row
        return int(rng.choice(others or [event.item_index for event in example.history]))


def _prompt(dataset: Dataset, example: Example, titles: Sequence[str]) -> str:
    return messages(example, titles, dataset.words, "compact")[0]["content"] + "\n"


def _note(prompt: str, reasoning: str, short: str, answer: str, number: int) -> Iterator[PretrainingText]:
    """A prompt with its reply, and now and then the reasoning with its summary."""
    yield PretrainingText(prompt, f"<think>{reasoning}</think><answer>{answer}</answer>")
    if number % SUMMARY_EVERY == 0:
        yield PretrainingText(summary_messages(reasoning, "compact")[0]["content"] + "\n", short)
