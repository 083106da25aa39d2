"""Rating baselines: a contract for all, and cases with known answers for each."""

import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest
from support.processes import run_source

from reckon.baselines.rating.predictors import (
    RATING_BASELINES,
    Biases,
    GlobalMean,
    GlobalMedian,
    ItemMean,
    MatrixFactorization,
    TextRegressor,
    UserMean,
    _biases,
)
from reckon.data import Dataset
from reckon.data.prepare.write import write_dataset
from reckon.data.ratings import RatingExamples, rating_examples, training_ratings
from reckon.errors import DataError, MissingExtraError

NEEDS_SURPRISE = pytest.mark.skipif(find_spec("surprise") is None, reason="needs the extra `baselines`")
NAMES = [
    pytest.param(name, marks=[NEEDS_SURPRISE] if name == "matrix-factorization" else []) for name in RATING_BASELINES
]


def write(path, events, split="temporal", titles=None, texts=True, times=True):
    """Events (user, item, time, rating, review) as a data set."""
    ids = sorted({event[1] for event in events})
    users, items, when, rating, reviews = zip(*events, strict=True)
    columns = {"user_id": list(users), "item_id": list(items), "rating": pa.array(rating, pa.float32())}
    if times:
        columns["timestamp"] = list(when)
    if texts:
        columns["review"] = list(reviews)
    write_dataset(
        path,
        pa.table({"item_id": ids, "title": [titles[item] if titles else f"Book {item}" for item in ids]}),
        pa.table(columns),
        source={"name": "test"},
        split=split,
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
    )
    return Dataset.load(path)


def additive_events(users=40, items=30, per_user=12, seed=0, noise=0.0):
    """Ratings 3 + user taste + item quality, a word of the review telling the item's quality; two users come late."""
    rng = np.random.default_rng(seed)
    taste, quality = rng.uniform(-0.9, 0.9, users), rng.uniform(-0.9, 0.9, items)
    events = []
    for user in range(users):
        late = 10_000 if user < 2 else 0
        for n, item in enumerate(rng.permutation(items)[:per_user]):
            rating = 3 + taste[user] + quality[item] + noise * rng.normal()
            word = "splendid" if quality[item] > 0 else "dreadful"
            events.append((f"u{user:02d}", f"i{item:02d}", late + n * 100 + user, float(np.clip(rating, 1, 5)), word))
    # An item that nobody ever rated before the last event of all.
    events.append(("u39", "new", 20_000, 4.0, "fresh"))
    return sorted(events, key=lambda event: (event[0], event[2]))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp("additive") / "data", additive_events(noise=0.1))


@pytest.fixture(scope="module")
def fitted(data):
    models = {}

    def fit(name):
        if name not in models:
            models[name] = RATING_BASELINES[name].fit(data)
        return models[name]

    return fit


@pytest.mark.parametrize("name", NAMES)
def test_every_row_has_a_rating_on_the_scale(name, data, fitted):
    for split in ("train", "valid", "test"):
        examples = rating_examples(data, split)
        predicted = fitted(name).predict(examples)
        assert predicted.shape == (len(examples),) and predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
        assert predicted.min() >= 1 and predicted.max() <= 5


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_predictions(name, data, fitted):
    examples = rating_examples(data, "test")
    again = RATING_BASELINES[name].fit(data, seed=0).predict(examples)
    np.testing.assert_array_equal(again, fitted(name).predict(examples))


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_does_not_depend_on_the_other_rows(name, data, fitted):
    examples = rating_examples(data, "test")
    rows = np.array([5, 0, 3])
    np.testing.assert_allclose(
        fitted(name).predict(examples.subset(rows)), fitted(name).predict(examples)[rows], rtol=1e-10
    )
    assert len(fitted(name).predict(examples.subset([]))) == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_user_and_an_item_without_earlier_ratings_have_a_rating(name, data, fitted):
    test = rating_examples(data, "test")
    trained_users, trained_items = np.unique(training_ratings(data).user_index), training_ratings(data).item_index
    new_item = test.item_indices == data.catalog.index("new")
    new_user = ~np.isin(test.user_index, trained_users)
    assert new_item.sum() == 1 and not np.isin(data.catalog.index("new"), trained_items) and new_user.any()
    assert np.isfinite(fitted(name).predict(test)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_target_rating_is_not_read(name, data, fitted):
    examples = rating_examples(data, "test")
    hidden = replace(examples, ratings=np.full(len(examples), np.nan))
    np.testing.assert_array_equal(fitted(name).predict(hidden), fitted(name).predict(examples))


@pytest.mark.parametrize("name", NAMES)
def test_fitted_parameters_do_not_depend_on_test_ratings(name, tmp_path):
    """Mirrored test ratings change no fitted parameter; they change only predictions of later rows."""
    events = additive_events()
    data = write(tmp_path / "a", events)
    test = rating_examples(data, "test")
    cut = test.times.min()
    turned = write(tmp_path / "b", [(u, i, t, 6 - r if t >= cut else r, w) for u, i, t, r, w in events])
    rows = np.flatnonzero(test.times == cut)  # nothing of the test period lies before the first test row
    expected = RATING_BASELINES[name].fit(data).predict(test.subset(rows))
    found = RATING_BASELINES[name].fit(turned).predict(rating_examples(turned, "test").subset(rows))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # sums over other later ratings round differently


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("change", [{"texts": False}, {"times": False, "split": "leave-one-out"}], ids=str)
def test_data_without_reviews_or_times_is_accepted(name, change, tmp_path):
    data = write(tmp_path / "data", additive_events(users=10, per_user=6), **change)
    test = rating_examples(data, "test")
    assert np.isfinite(RATING_BASELINES[name].fit(data).predict(test)).all()


@pytest.mark.parametrize("name", NAMES)
def test_data_without_ratings_is_refused(name, tmp_path):
    data = write(tmp_path / "data", [(u, i, t, None, w) for u, i, t, _, w in additive_events(users=5)])
    with pytest.raises(DataError, match="rating"):
        RATING_BASELINES[name].fit(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_registry_lists_each_baseline_under_its_name(name):
    assert RATING_BASELINES[name].name == name


HAND = [  # leave-one-out: a's and b's last are test, the ones before valid; c, with two events, only trains
    ("a", "x", 1, 5.0, ""),
    ("a", "y", 2, 4.0, ""),
    ("a", "z", 3, 1.0, ""),
    ("a", "w", 4, 3.0, ""),
    ("b", "x", 1, 2.0, ""),
    ("b", "z", 5, 1.0, ""),
    ("b", "y", 6, 5.0, ""),
    ("c", "x", 2, 1.0, ""),
    ("c", "w", 3, 2.0, ""),
]


def hand(tmp_path) -> tuple[Dataset, RatingExamples]:
    data = write(tmp_path / "data", HAND, split="leave-one-out")
    return data, rating_examples(data, "test")


def test_the_constants_are_mean_and_median_of_training_ratings(tmp_path):
    data, test = hand(tmp_path)  # training: a 5 4, b 2, c 1 2
    assert GlobalMean.fit(data).predict(test).tolist() == [2.8, 2.8]
    assert GlobalMedian.fit(data).predict(test).tolist() == [2.0, 2.0]


def test_the_user_mean_is_over_all_earlier_ratings_of_the_user(tmp_path):
    data, test = hand(tmp_path)
    assert UserMean.fit(data).predict(test).tolist() == pytest.approx([10 / 3, 1.5])


def test_the_item_mean_is_over_earlier_ratings_by_others(tmp_path):
    data, test = hand(tmp_path)
    # w at 4: c gave 2 at 3. y at 6: a gave 4 at 2.
    assert ItemMean.fit(data).predict(test).tolist() == [2.0, 4.0]


def test_means_fall_back_to_the_global_mean(tmp_path):
    events = [*HAND, ("d", "q", 1, 4.0, ""), ("d", "r", 1, 4.0, ""), ("d", "s", 1, 2.0, "")]
    data = write(tmp_path / "data", events, split="leave-one-out")  # all of d at one time: nothing is older
    test = rating_examples(data, "test")
    (row,) = np.flatnonzero(test.user_ids == "d")
    mean = training_ratings(data).rating.mean()
    assert UserMean.fit(data).predict(test)[row] == pytest.approx(mean)
    assert ItemMean.fit(data).predict(test)[row] == pytest.approx(mean)


def test_biases_minimise_the_penalised_squared_error(tmp_path):
    """At the least of the penalised squared error each bias is its residuals' sum over its count plus penalty."""
    data = write(tmp_path / "data", additive_events(noise=0.5))
    ratings = training_ratings(data)
    mean, users, items = _biases(ratings, (len(data.user_ids), len(data.catalog)), (3.0, 10.0))
    assert mean == pytest.approx(ratings.rating.mean())
    for user in np.unique(ratings.user_index):
        mine = ratings.user_index == user
        residual = ratings.rating[mine] - mean - items[ratings.item_index[mine]]
        assert users[user] == pytest.approx(residual.sum() / (mine.sum() + 3.0), abs=1e-4)
    for item in np.unique(ratings.item_index):
        its = ratings.item_index == item
        residual = ratings.rating[its] - mean - users[ratings.user_index[its]]
        assert items[item] == pytest.approx(residual.sum() / (its.sum() + 10.0), abs=1e-4)


def test_the_bias_of_a_new_user_is_solved_from_the_visible_ratings(tmp_path):
    """By hand: every visible rating counts, less the item's learned bias, shrunk by the chosen penalty."""
    data = write(tmp_path / "data", additive_events(noise=0.3))
    model, test = Biases.fit(data), rating_examples(data, "test", window=1000, item_window=1000)
    new = np.flatnonzero(~np.isin(test.user_index, training_ratings(data).user_index))
    assert len(new)
    predicted, users = model.predict(test), {user: row for row, user in enumerate(data.user_ids)}
    for row in new:
        example = test[int(row)]
        mine = [rated.rating - model.mean - model.items[rated.item_index] for rated in example.user_history]
        its = [rated.rating - model.mean - model.users[users[rated.user_id]] for rated in example.item_history]
        by_hand = model.mean + sum(mine) / (len(mine) + model.penalties[0]) + sum(its) / (len(its) + model.penalties[1])
        assert predicted[row] == pytest.approx(np.clip(by_hand, 1, 5), abs=1e-5)


def errors(name_or_class, data):
    test = rating_examples(data, "test")
    return np.abs(name_or_class.fit(data).predict(test) - test.ratings)


def dense(path, **settings):
    """All users rate nearly all items, with ratings that do not depend on time."""
    rng = np.random.default_rng(1)
    taste, quality = rng.uniform(-0.9, 0.9, 40), rng.uniform(-0.9, 0.9, 30)
    events = [
        (f"u{user:02d}", f"i{item:02d}", 100 * n + user, float(3 + taste[user] + quality[item]), "")
        for user in range(40)
        for n, item in enumerate(rng.permutation(30)[:25])
    ]
    return write(path, events, **settings)


def test_the_bias_model_learns_additive_ratings(tmp_path):
    data = dense(tmp_path / "data")
    bias = errors(Biases, data).mean()
    assert bias < 0.1
    assert bias < errors(UserMean, data).mean() / 3 and bias < errors(ItemMean, data).mean() / 3


@NEEDS_SURPRISE
def test_matrix_factorization_learns_interactions_that_biases_miss(tmp_path):
    """Half of the users like what the other half dislikes, so no user and no item has a bias."""
    rng = np.random.default_rng(1)
    events = [
        (f"u{user:02d}", f"i{item:02d}", 100 * n + user, 4.5 if (user + item) % 2 else 1.5, "")
        for user in range(60)
        for n, item in enumerate(rng.permutation(40)[:36])
    ]
    data = write(tmp_path / "data", events)
    assert errors(Biases, data).mean() > 1.2
    assert errors(MatrixFactorization, data).mean() < 0.6


def test_matrix_factorization_without_its_package_names_the_extra(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "surprise", None)
    with pytest.raises(MissingExtraError, match=r"reckon-recsys\[baselines\]"):
        MatrixFactorization.fit(data)


@NEEDS_SURPRISE
def test_matrix_factorization_creates_no_folder_in_the_home_directory(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    code = """
import os, sys
assert "surprise" not in sys.modules
os.environ["HOME"] = sys.argv[1]
import numpy as np
from reckon.baselines.rating.predictors import _item_factors
from reckon.data.ratings import Ratings

one = np.zeros(3, int)
_item_factors(Ratings(np.arange(3), one, np.ones(3), None), 1, 2, 0.1, 0)
"""
    code_at_end = run_source(code, home, errors=tmp_path / "errors")
    assert code_at_end == 0, (tmp_path / "errors").read_text()
    assert list(home.iterdir()) == []


def test_the_text_regressor_reads_reviews(tmp_path):
    """Ratings depend on a word in others' reviews of the item and on nothing else."""
    rng = np.random.default_rng(3)
    events = [
        (f"u{user:02d}", f"i{item:02d}", 100 * n + user, 1.5, "dreadful")
        if item % 2
        else (f"u{user:02d}", f"i{item:02d}", 100 * n + user, 4.5, "splendid")
        for user in range(60)
        for n, item in enumerate(rng.permutation(40)[:20])
    ]
    data = write(tmp_path / "data", events)
    assert errors(TextRegressor, data).mean() < 0.2 < errors(GlobalMean, data).mean()


def test_the_text_regressor_predicts_new_items_from_their_titles(tmp_path):
    """Every item is new when it is rated, so only the words of its title predict its quality."""
    rng = np.random.default_rng(5)
    events, titles = [], {}
    for user in range(60):
        for n in range(8):
            item = f"i{user:02d}{n}"
            good = rng.random() < 0.5
            titles[item] = f"A {'glorious' if good else 'grim'} tale {item}"
            events.append((f"u{user:02d}", item, 1000 * n + user, 4.5 if good else 2.0, ""))
    data = write(tmp_path / "data", events, titles=titles)
    assert errors(TextRegressor, data).mean() < 0.4
    assert errors(ItemMean, data).mean() > 1.0


def test_the_text_regressor_does_not_depend_on_the_block_size(tmp_path, data, monkeypatch):
    whole = TextRegressor.fit(data).predict(rating_examples(data, "test"))
    monkeypatch.setattr("reckon.baselines.rating.predictors.ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(TextRegressor.fit(data).predict(rating_examples(data, "test")), whole, rtol=1e-8)
