from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from support.rating_laws import Laws

from reckon.data import Dataset
from reckon.data.ratings import Rated, RatingExample, rating_examples, rating_scale
from reckon.errors import DataError
from reckon.simulation import rated_bookshop as rated
from reckon.simulation.bookshop import GENRE_NAMES, MOOD_NAMES, MOODS, write_bookshop
from reckon.simulation.notes import taste_summary
from reckon.simulation.rated_bookshop import (
    best_possible_ratings,
    oracle_predictions,
    posterior_median,
    quality_word,
    rated_shop_of,
    reader_posterior,
    write_rated_bookshop,
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.load(write_rated_bookshop(tmp_path_factory.mktemp("rated") / "shop", readers=400))


@pytest.fixture(scope="module")
def shop(dataset):
    return rated_shop_of(dataset)


@pytest.fixture(scope="module")
def test_rows(dataset):
    return rating_examples(dataset, "test")


@pytest.fixture(scope="module")
def predictive(shop, test_rows):
    return oracle_predictions(shop, test_rows)


def test_the_same_seed_gives_the_same_shop(tmp_path):
    first, second, other = (
        Dataset.load(write_rated_bookshop(tmp_path / name, seed=seed, readers=30))
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert first.checksum == second.checksum != other.checksum


def test_the_shop_is_as_described(dataset, test_rows):
    assert str(rating_scale(dataset)) == "1 to 5" and dataset.protocol == "temporal"
    assert len(dataset.catalog) == 192 == len(set(dataset.catalog.titles))
    lengths = np.bincount(dataset.user_index)
    assert lengths.min() == 8 and lengths.max() == 16
    assert 7 <= np.median([len(example.user_history) for example in test_rows]) <= 10
    assert len(test_rows) / len(dataset.user_index) == pytest.approx(0.1, abs=0.02)


def test_titles_and_reviews_name_the_mood_of_the_truth(dataset, shop, test_rows):
    for index, title in enumerate(dataset.catalog.titles):
        assert title.split()[0] in MOODS[MOOD_NAMES[shop.moods[index]]]
    for seen in test_rows[0].user_history:
        assert seen.text == f"A {MOOD_NAMES[shop.moods[seen.item_index]]} book, and {quality_word(seen)}."


def test_taste_is_the_largest_part_of_the_variance():
    parts = [(rated.LEVELS**2) @ probabilities for probabilities in (rated.QUALITY, rated.LENIENCY, rated.NOISE)]
    assert max(parts) < rated.TASTE**2 and min(parts[:2]) > 0.2 * rated.TASTE**2


def test_no_example_shows_anything_that_is_not_strictly_older(dataset):
    laws = Laws(dataset)
    for split in ("train", "valid", "test"):
        for example in rating_examples(dataset, split, 5, 4).sample(200, seed=0):
            laws.check(example, 5, 4)


def plain_posterior(shop, example):
    """P(rating) by enumeration of all hidden states, from the rules in the module's docstring."""

    def likelihood(rating, word, taste, leniency, quality):
        stars = sum(
            p for noise, p in zip((-1, 0, 1), rated.NOISE, strict=True)
            if min(5, max(1, 3 + taste + leniency + quality + noise)) == rating
        )  # fmt: skip
        if word is None:
            return stars
        right = word.lower() in rated.QUALITY_WORDS[quality + 1]
        return stars * (rated.WORD_ACCURACY if right else (1 - rated.WORD_ACCURACY) / 2)

    levels = (-1, 0, 1)
    of_quality, of_leniency = dict(zip(levels, rated.QUALITY)), dict(zip(levels, rated.LENIENCY))  # noqa: B905
    item = {}
    for quality in levels:
        item[quality] = of_quality[quality]
        for seen in example.item_history:
            item[quality] *= sum(
                0.5 * of_leniency[leniency] * likelihood(seen.rating, quality_word(seen), taste, leniency, quality)
                for taste, leniency in product((-1, 1), levels)
            )
    total = np.zeros(5)
    for liked in combinations(range(8), 2):
        for disliked in combinations([mood for mood in range(8) if mood not in liked], 2):
            moods = [shop.moods[seen.item_index] for seen in example.user_history] + [shop.moods[example.item_index]]
            if not set(moods) <= {*liked, *disliked}:
                continue
            tastes = [1 if mood in liked else -1 for mood in moods]
            for leniency in levels:
                weight = of_leniency[leniency]
                for seen, taste in zip(example.user_history, tastes, strict=False):
                    weight *= sum(
                        of_quality[quality] * likelihood(seen.rating, quality_word(seen), taste, leniency, quality)
                        for quality in levels
                    )
                for quality, rating in product(levels, range(1, 6)):
                    chance = likelihood(rating, None, tastes[-1], leniency, quality)
                    total[rating - 1] += weight * item[quality] * chance
    return total / total.sum()


def test_the_posterior_equals_enumeration_of_all_states(shop, test_rows):
    for example in test_rows.sample(4, seed=0):
        np.testing.assert_allclose(rated.predictive_distribution(shop, example), plain_posterior(shop, example))


def test_the_oracle_is_calibrated(predictive, test_rows):
    hit = test_rows.ratings[:, None] == rated.STARS
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        chosen = (predictive >= low) & (predictive < high)
        assert hit[chosen].mean() == pytest.approx(predictive[chosen].mean(), abs=4 * 0.5 / np.sqrt(chosen.sum()))


def test_the_oracles_realised_errors_are_the_expected_ones(shop, predictive, test_rows):
    expected = best_possible_ratings(shop, test_rows)
    errors = np.abs(posterior_median(predictive) - test_rows.ratings)
    assert errors.mean() == pytest.approx(expected["mae"], abs=3 * errors.std() / np.sqrt(len(errors)))
    squares = (predictive @ rated.STARS - test_rows.ratings) ** 2
    assert squares.mean() == pytest.approx(expected["rmse"] ** 2, abs=3 * squares.std() / np.sqrt(len(squares)))


def test_more_knowledge_never_raises_the_expected_error(dataset, shop, test_rows):
    shown = best_possible_ratings(shop, test_rows)
    known = best_possible_ratings(shop, test_rows, quality_known=True)
    blind = best_possible_ratings(shop, rating_examples(dataset, "test", window=0, item_window=0))
    assert known["mae"] < shown["mae"] < blind["mae"] / 2
    assert known["rmse"] < shown["rmse"] < blind["rmse"] / 1.5


def test_the_oracle_is_far_better_than_user_and_item_biases(dataset, shop, test_rows):
    mean = test_rows.ratings.mean()  # even if a baseline knew the mean of the test rows
    user, item = (np.nan_to_num(m, nan=mean) - mean for m in (test_rows.user_means, test_rows.item_means))
    best = best_possible_ratings(shop, test_rows)
    for guess in (mean, mean + user, mean + item, mean + 0.5 * user + 0.8 * item):
        errors = np.clip(guess, 1, 5) - test_rows.ratings
        assert best["mae"] < 0.5 * np.abs(errors).mean()
        assert best["rmse"] < 0.65 * np.sqrt((errors**2).mean())


def test_an_impossible_history_is_an_error(shop):
    books = [int(np.flatnonzero(shop.moods == mood)[0]) for mood in range(5)]
    history = tuple(Rated("u", book, 3.0, day, "decent calm", "") for day, book in enumerate(books))
    with pytest.raises(DataError, match="has probability 0 in the rated bookshop"):
        reader_posterior(shop, history)


def test_other_data_has_no_best_possible(tmp_path):
    with pytest.raises(DataError, match="reckon data prepare rated-bookshop"):
        rated_shop_of(Dataset.load(write_bookshop(tmp_path / "shop", notes=5)))


def book_of(shop, mood, genre):
    kind = (shop.moods == MOOD_NAMES.index(mood)) & (shop.genres == GENRE_NAMES.index(genre))
    return int(np.flatnonzero(kind)[0])


def test_a_note_says_what_the_example_shows(shop):
    def of_user(mood, rating, time):
        return Rated("u", book_of(shop, mood, "sea"), rating, time, f"decent {mood}", "")

    history = tuple(of_user(*seen) for seen in (("calm", 4.0, 1), ("warm", 4.0, 2), ("dark", 2.0, 3), ("sad", 2.0, 4)))
    others = tuple(Rated(f"o{n}", 0, rating, n, f"{word} calm", "") for n, (rating, word) in enumerate(
        [(3.0, "vivid"), (5.0, "vivid"), (5.0, "gripping"), (2.0, "flat"), (5.0, "polished")]
    ))  # fmt: skip
    example = RatingExample("u", book_of(shop, "calm", "crime"), history, others, None, None, 5.0, 9)
    right = taste_summary(shop, example, np.random.default_rng(0))
    assert right.user == "a fair rater"
    assert right.item == "a calm crime book [pos] polished gripping [neg] flat"
    assert right.match == "gives calm 4, good" and right.rating == "5"
    wrong = [taste_summary(shop, example, np.random.default_rng(seed), accuracy=0.0) for seed in range(50)]
    assert {note.match for note in wrong} == {f"gives calm {stars}, good" for stars in range(1, 6)}
    assert {(note.user, note.item) for note in wrong} == {(right.user, right.item)}
    assert {note.rating for note in wrong} == set("1234")
    unread = replace(example, user_history=history[1:])
    assert taste_summary(shop, unread, np.random.default_rng(0)).match == "gives calm unknown, good"


def test_notes_are_short_and_right_with_the_given_accuracy(shop, predictive, test_rows):
    best, rng = posterior_median(predictive), np.random.default_rng(0)
    notes = [taste_summary(shop, example, rng, accuracy=0.7) for example in test_rows]
    for note in notes:
        assert len(note.user.split()) == 3 and len(note.item.split()) <= 11 and len(note.match.split()) == 4
        assert note.rating in "12345"
    right = np.mean([int(note.rating) == median for note, median in zip(notes, best, strict=True)])
    assert right == pytest.approx(0.7, abs=0.08)
