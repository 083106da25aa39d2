"""Pretraining texts for rating prediction: rating prompts and replies in the four blocks.

Entry point: `rating_texts`. The replies hold no true rating of the data:

- For the simulated rated bookshop, an expert's conclusions, right with probability NOTE_ACCURACY: a stand-in for an
  open language model's knowledge of books and readers.
- For any other data, statistics of the prompt, and a rating drawn from the ratings in the prompt. The model learns the
  format of a reply and the distribution of ratings; training then teaches which rating to predict.

Only training rows are read. Knows nothing of models.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from reckon.data import Dataset
from reckon.data.examples import FloatArray
from reckon.data.ratings import Rated, RatingExample, Scale, rating_examples, rating_scale
from reckon.prompts.rating import rating_messages
from reckon.prompts.rating_reply import BAD, BLOCKS, GOOD
from reckon.simulation.notes import taste_summary
from reckon.simulation.rated_bookshop import NAME, rated_shop_of
from reckon.small_backbone.next_item_texts import PretrainingText

NOTE_ACCURACY = 0.75
MAX_NOTES = 20_000  # more than a small decoder can read in its steps; bounds memory on large data sets
# As in the `small` preset of RecZero:
NOTE_WINDOW, TITLE_WORDS, REVIEW_WORDS, ITEM_REVIEW_WORDS = 6, 8, 6, 1

Parts = tuple[str, str, str, str]  # texts of the four blocks


def rating_texts(dataset: Dataset, *, seed: int) -> list[PretrainingText]:
    """Prompts and replies for training rows of a data set with ratings.

    Args:
        dataset: its training rows are read.
        seed: of the sample of rows, where there are more than MAX_NOTES, and of all other draws.

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
    """The example with histories cut to random lengths; a decoder learns the look-up first on short prompts."""
    user, item = (int(rng.integers(len(history) + 1)) for history in (example.user_history, example.item_history))
    return replace(
        example,
        user_history=example.user_history[len(example.user_history) - user :],
        item_history=example.item_history[len(example.item_history) - item :],
    )


def written(parts: Parts) -> str:
    """A reply of these four blocks."""
    return "".join(f"<{name}>{part}</{name}>" for name, part in zip(BLOCKS, parts, strict=True))


def _shop_notes(dataset: Dataset, rng: np.random.Generator) -> Callable[[RatingExample], Parts]:
    shop = rated_shop_of(dataset)

    def conclude(example: RatingExample) -> Parts:
        note = taste_summary(shop, example, rng, NOTE_ACCURACY)
        return note.user, note.item, note.match, note.rating

    return conclude


def _plain_notes(ratings: FloatArray, scale: Scale, rng: np.random.Generator) -> Callable[[RatingExample], Parts]:
    """A function from an example to four blocks: statistics of the prompt, and a rating drawn from it, or from the
    training ratings where the prompt shows none."""

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
    """Mean of some ratings, rounded to a value of the scale; a word where there are none."""
    if not history:
        return "unknown"
    return f"{scale.nearest(float(np.mean([rated.rating for rated in history]))):g}"
