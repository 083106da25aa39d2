"""What a small backbone reads before it learns to predict ratings: rating prompts and replies in the four blocks.

Entry point: `rating_texts`. Two kinds of knowledge, neither of which is a true rating of the data:

- For the simulated rated bookshop, what somebody who knows the shop would conclude, right in NOTE_ACCURACY of the
  cases: a stand-in for what an open language model knows about books and readers.
- For any other data, plain statistics of what the prompt shows, and a rating drawn from those it shows. The model
  learns the form of a reply and what ratings look like; which rating to give is left to training.

Only training rows are read. Does not know about models.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from reckon.data import Dataset
from reckon.data.examples import FloatArray
from reckon.data.ratings import Rated, RatingExample, Scale, rating_examples, rating_scale
from reckon.prompts.rating import BAD, BLOCKS, GOOD, rating_messages
from reckon.simulation.notes import taste_summary
from reckon.simulation.rated_bookshop import NAME, rated_shop_of
from reckon.small_backbone.next_item_texts import PretrainingText

NOTE_ACCURACY = 0.75
MAX_NOTES = 20_000  # more than a small decoder reads; keeps memory flat on large data sets
# As the `small` preset of RecZero reads:
NOTE_WINDOW, TITLE_WORDS, REVIEW_WORDS, ITEM_REVIEW_WORDS = 6, 8, 6, 1

Parts = tuple[str, str, str, str]  # what stands in the four blocks


def rating_texts(dataset: Dataset, *, seed: int) -> list[PretrainingText]:
    """A prompt and a reply for training rows of a data set with ratings.

    Args:
        dataset: its training rows are read.
        seed: of the rows taken where there are very many, and of what is drawn.

    Raises:
        DataError: the data set has no ratings.
    """
    rng, scale = np.random.default_rng(seed), rating_scale(dataset)
    examples = rating_examples(dataset, "train", NOTE_WINDOW, NOTE_WINDOW).sample(MAX_NOTES, seed)
    conclude = (
        _shop_notes(dataset, rng)
        if dataset.info["source"]["name"] == NAME
        else _plain_notes(examples.ratings, scale, rng)
    )
    texts = []
    for example in examples:
        example = _shortened(example, rng)
        turn = rating_messages(
            example,
            dataset.catalog,
            dataset.words,
            scale,
            "compact",
            review_words=REVIEW_WORDS,
            item_review_words=ITEM_REVIEW_WORDS,
            item_words=0,
            title_words=TITLE_WORDS,
        )[0]
        texts.append(PretrainingText(turn["content"] + "\n", written(conclude(example))))
    return texts


def _shortened(example: RatingExample, rng: np.random.Generator) -> RatingExample:
    """The example with histories of any length: short prompts are where a decoder learns first what to look for."""
    user, item = (int(rng.integers(len(history) + 1)) for history in (example.user_history, example.item_history))
    return replace(
        example,
        user_history=example.user_history[len(example.user_history) - user :],
        item_history=example.item_history[len(example.item_history) - item :],
    )


def written(parts: Parts) -> str:
    """The four blocks of a reply."""
    return "".join(f"<{name}>{part}</{name}>" for name, part in zip(BLOCKS, parts, strict=True))


def _shop_notes(dataset: Dataset, rng: np.random.Generator) -> Callable[[RatingExample], Parts]:
    shop = rated_shop_of(dataset)

    def conclude(example: RatingExample) -> Parts:
        note = taste_summary(shop, example, rng, NOTE_ACCURACY)
        return note.user, note.item, note.match, note.rating

    return conclude


def _plain_notes(ratings: FloatArray, scale: Scale, rng: np.random.Generator) -> Callable[[RatingExample], Parts]:
    """Statistics of the prompt. Without anything to draw from, the rating is one of the training ratings."""

    def conclude(example: RatingExample) -> Parts:
        shown = [rated.rating for rated in (*example.user_history, *example.item_history)]
        rating = float(rng.choice(shown if shown else ratings))
        high = sum(rated.rating >= (scale.lowest + scale.highest) / 2 for rated in example.item_history)
        user, item = _usual(example.user_history, scale), _usual(example.item_history, scale)
        return (
            f"gives {user}",
            f"gets {item} {GOOD} {high} {BAD} {len(example.item_history) - high}",
            f"{user} and {item}",
            f"{rating:g}",
        )

    return conclude


def _usual(history: Sequence[Rated], scale: Scale) -> str:
    """The mean of some ratings as a value of the scale, in words where there are none."""
    if not history:
        return "unknown"
    return f"{scale.nearest(float(np.mean([rated.rating for rated in history]))):g}"
