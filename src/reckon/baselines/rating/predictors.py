"""Baselines of rating prediction, from a constant to text regression.

Entry points: `RATING_BASELINES`, by name; each class has `fit(dataset, seed)` and `predict(examples)`.

All are fitted to training events only, choose their hyperparameters by RMSE on validation rows, and clip predictions to
the scale. They differ in what they read at prediction time, and in the prediction without it:

| name | reads | without it |
| --- | --- | --- |
| global-mean, global-median | nothing | |
| user-mean | mean of the user's visible ratings | global mean |
| item-mean | mean of others' visible ratings of the item | global mean |
| bias | all visible ratings of the user and of the item | the bias is 0 |
| matrix-factorization | the same, and which items the user rated | the bias is 0, the factors are 0 |
| text | item text; reviews and counts in the windows; visible means | the features are 0 |

Visible ratings are those strictly older than the row's own, also those after the training events: what a method's
prompt may show, a baseline may read, too.
"""

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
import scipy.sparse as sp

from reckon.data import Dataset
from reckon.data.examples import FloatArray, IntArray
from reckon.data.ratings import Rated, RatingExamples, Ratings, Scale, rating_examples, rating_scale, training_ratings
from reckon.errors import MissingExtraError
from reckon.prompts.items import item_text

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

# Bias model: L2 penalties of the biases of users and items, in numbers of ratings.
BIAS_PENALTIES = (1.0, 3.0, 10.0, 30.0)
BIAS_SWEEPS = 30  # alternations; on real data the biases change by less than 1e-4 after about ten
# Matrix factorization: the sizes, SVD penalties and ridge penalties tried. Epochs and learning rate are the library's
# defaults.
FACTORS = (8, 32)
SVD_PENALTIES = (0.02, 0.1)
FACTOR_PENALTIES = (0.1, 1.0, 10.0)
# Text regressor.
ALPHAS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
SOLVED = 1e-7  # relative residual at which the solver stops; its default changes the fourth digit of the MAE
TRAIN_ROWS, VALID_ROWS = 50_000, 20_000  # most rows used, drawn with the seed
ROWS_AT_ONCE = 10_000  # rows whose texts are in memory at once
VOCABULARY = 20_000  # most frequent words per field
ITEM_WORDS, REVIEW_WORDS = 256, 128
SHRINKAGE = 5.0  # pseudo-ratings at the global mean in a shrunk mean
WORD = re.compile(r"\w\w")  # TfidfVectorizer's shortest token


Tried = TypeVar("Tried", bound="RatingPredictor")


class RatingPredictor(Protocol):
    """A predictor of ratings."""

    name: str

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        """Fit to the training ratings of a data set."""

    def predict(self, examples: RatingExamples) -> FloatArray:
        """[R] ratings on the scale, never NaN."""


class GlobalMean:
    """The mean of all training ratings for every row: the constant with the lowest RMSE."""

    name = "global-mean"

    def __init__(self, value: float, scale: Scale) -> None:
        self.value, self.scale = value, scale

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        return cls(float(np.mean(training_ratings(dataset).rating)), rating_scale(dataset))

    def predict(self, examples: RatingExamples) -> FloatArray:
        return self.scale.clip(np.full(len(examples), self.value))


class GlobalMedian(GlobalMean):
    """The median of all training ratings for every row: the constant with the lowest MAE."""

    name = "global-median"

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        return cls(float(np.median(training_ratings(dataset).rating)), rating_scale(dataset))


class UserMean(GlobalMean):
    """The mean of the user's visible ratings; the global mean where there are none."""

    name = "user-mean"

    def predict(self, examples: RatingExamples) -> FloatArray:
        means = examples.user_means
        return self.scale.clip(np.where(np.isnan(means), self.value, means))


class ItemMean(GlobalMean):
    """The mean of others' visible ratings of the item; the global mean where there are none."""

    name = "item-mean"

    def predict(self, examples: RatingExamples) -> FloatArray:
        means = examples.item_means
        return self.scale.clip(np.where(np.isnan(means), self.value, means))


class Biases:
    """mu + b_u + b_i with L2-penalised biases; both penalties are chosen on validation rows.

    Fitting takes mu, the mean of the training ratings, and the biases that minimise sum (r - mu - b_u - b_i)^2 +
    user_penalty * sum b_u^2 + item_penalty * sum b_i^2. Prediction solves both biases of a row again from all its
    visible ratings, with the fitted biases of the other side fixed. Otherwise, most users of a temporal test split
    would have no bias.

    Source: Koren, Bell, Volinsky, "Matrix factorization techniques for recommender systems" (2009), equations 3 to 5.
    """

    name = "bias"

    def __init__(
        self, mean: float, users: FloatArray, items: FloatArray, penalties: tuple[float, float], scale: Scale
    ) -> None:
        self.mean, self.users, self.items, self.penalties, self.scale = mean, users, items, penalties, scale  # [U], [I]

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        ratings, scale = training_ratings(dataset), rating_scale(dataset)
        shape = len(dataset.user_ids), len(dataset.catalog)
        tried = [
            cls(*_biases(ratings, shape, penalties), penalties, scale)
            for penalties in itertools.product(BIAS_PENALTIES, BIAS_PENALTIES)
        ]
        return _best(tried, rating_examples(dataset, "valid"))

    def predict(self, examples: RatingExamples) -> FloatArray:
        return self.scale.clip(self.unclipped(examples))

    def unclipped(self, examples: RatingExamples) -> FloatArray:
        """[R] mu + b_u + b_i, with biases solved from the visible ratings, not clipped to the scale."""
        log = examples.dataset.rating_log
        of_user = _shrunk_mean(
            (log.rating - self.mean - self.items[log.item_index])[log.by_user.order],
            examples.visible_of_user,
            self.penalties[0],
        )
        of_item = _shrunk_mean(
            (log.rating - self.mean - self.users[log.user_index])[log.by_item.order],
            examples.visible_of_item[:, :2],
            self.penalties[1],
        )
        return self.mean + of_user + of_item


def _biases(
    ratings: Ratings, shape: tuple[int, int], penalties: tuple[float, float]
) -> tuple[float, FloatArray, FloatArray]:
    """Mean, user biases [U] and item biases [I], by alternating least squares."""
    (users, items), mean = shape, float(ratings.rating.mean())
    user_weight = np.bincount(ratings.user_index, minlength=users) + penalties[0]
    item_weight = np.bincount(ratings.item_index, minlength=items) + penalties[1]
    residual = ratings.rating - mean
    of_users, of_items = np.zeros(users), np.zeros(items)
    for _ in range(BIAS_SWEEPS):
        left = residual - of_users[ratings.user_index]
        of_items = np.bincount(ratings.item_index, weights=left, minlength=items) / item_weight
        left = residual - of_items[ratings.item_index]
        of_users = np.bincount(ratings.user_index, weights=left, minlength=users) / user_weight
    return mean, of_users, of_items


def _shrunk_mean(values: FloatArray, runs: IntArray, penalty: float) -> FloatArray:
    """[R] sum of values [E] over each slice start:end [R, 2], divided by its length plus the penalty."""
    totals = np.r_[0.0, np.cumsum(values)]
    start, end = runs[:, 0], runs[:, 1]
    return (totals[end] - totals[start]) / (end - start + penalty)


class MatrixFactorization:
    """The bias model plus q_i . p_u: item factors by scikit-surprise's SVD, user factors solved from visible ratings.

    As with the biases, p_u is solved again for each row: ridge regression of the bias model's residuals of the user's
    visible ratings on the factors of the rated items. An item without training ratings has factors 0. The size, the SVD
    penalty and the ridge penalty are chosen on validation rows.

    Raises:
        MissingExtraError: scikit-surprise is not installed (extra `baselines`).
    """

    name = "matrix-factorization"

    def __init__(self, biases: Biases, items: FloatArray, penalty: float) -> None:
        self.biases, self.items, self.penalty = biases, items, penalty  # items [I, F]

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        biases, ratings = Biases.fit(dataset), training_ratings(dataset)
        tried = []
        for size, svd_penalty in itertools.product(FACTORS, SVD_PENALTIES):
            items = _item_factors(ratings, len(dataset.catalog), size, svd_penalty, seed)
            tried += [cls(biases, items, penalty) for penalty in FACTOR_PENALTIES]
        return _best(tried, rating_examples(dataset, "valid").sample(VALID_ROWS, seed))

    def predict(self, examples: RatingExamples) -> FloatArray:
        log, biases = examples.dataset.rating_log, self.biases
        order, ridge = log.by_user.order, self.penalty * np.eye(self.items.shape[1])
        product = np.zeros(len(examples))
        for row, ((start, end), item) in enumerate(zip(examples.visible_of_user, examples.item_indices, strict=True)):
            seen = order[start:end]
            rated = log.item_index[seen]
            left = log.rating[seen] - biases.mean - biases.items[rated]
            left -= left.sum() / (len(seen) + biases.penalties[0])  # the user's own bias
            factors = self.items[rated]  # [n, F]
            product[row] = self.items[item] @ np.linalg.solve(factors.T @ factors + ridge, factors.T @ left)
        return biases.scale.clip(biases.unclipped(examples) + product)


def _item_factors(ratings: Ratings, items: int, size: int, penalty: float, seed: int) -> FloatArray:
    """[I, F] of scikit-surprise's SVD, fitted to all training ratings."""
    # Importing surprise creates a data folder, by default in the home directory; Reckon never uses it.
    os.environ.setdefault("SURPRISE_DATA_FOLDER", tempfile.gettempdir())
    try:
        from surprise import SVD, Trainset
    except ImportError:
        raise MissingExtraError("scikit-surprise", "baselines", "the matrix factorization baseline") from None
    known_users, user_row = np.unique(ratings.user_index, return_inverse=True)
    known_items, item_row = np.unique(ratings.item_index, return_inverse=True)
    by_user: dict[int, list[tuple[int, float]]] = {row: [] for row in range(len(known_users))}
    by_item: dict[int, list[tuple[int, float]]] = {row: [] for row in range(len(known_items))}
    for user, item, rating in zip(user_row.tolist(), item_row.tolist(), ratings.rating.tolist(), strict=True):
        by_user[user].append((item, rating))
        by_item[item].append((user, rating))
    train = Trainset(by_user, by_item, len(known_users), len(known_items), len(user_row), None, {}, {})
    factors = np.zeros((items, size))
    factors[known_items] = SVD(n_factors=size, reg_all=penalty, random_state=seed).fit(train).qi
    return factors


class TextRegressor:
    """Ridge regression on TF-IDF of the item's text and of the visible reviews, and on the visible means.

    Text features: TF-IDF of the item text, of the user's reviews, and of others' reviews of the item. Numeric features:
    the difference between the user's and the item's visible mean and the global mean, plain and shrunk; whether each
    exists; the log of the number of visible ratings. The penalty is chosen on validation rows. Fitted on at most
    `TRAIN_ROWS` rows.
    """

    name = "text"

    def __init__(self, mean: float, scale: Scale, vectorizers: "Sequence[TfidfVectorizer | None]") -> None:
        self.mean, self.scale, self.vectorizers = mean, scale, vectorizers
        self.ridge: Any = None

    @classmethod
    def fit(cls, dataset: Dataset, seed: int = 0) -> Self:
        from sklearn.linear_model import Ridge

        train = rating_examples(dataset, "train").sample(TRAIN_ROWS, seed)
        mean = float(training_ratings(dataset).rating.mean())
        fields: tuple[list[str], ...] = ([], [], [])
        for texts, _ in _read(train):
            for field, text in zip(fields, texts, strict=True):
                field.append(text)
        model = cls(mean, rating_scale(dataset), [_vectorizer(field) for field in fields])
        features, targets = model._features(train), train.ratings - mean
        valid = rating_examples(dataset, "valid").sample(VALID_ROWS, seed)
        valid_features = model._features(valid)
        errors = {}
        for alpha in ALPHAS:
            ridge = Ridge(alpha=alpha, solver="sparse_cg", tol=SOLVED).fit(features, targets)
            predicted = model.scale.clip(mean + ridge.predict(valid_features))
            errors[alpha] = (_rmse(predicted, valid.ratings), ridge)
        model.ridge = min(errors.values(), key=lambda found: found[0])[1]
        return model

    def predict(self, examples: RatingExamples) -> FloatArray:
        parts = [np.zeros(0)]
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = examples.subset(np.arange(start, min(start + ROWS_AT_ONCE, len(examples))))
            parts.append(self.mean + self.ridge.predict(self._features(rows)))
        return self.scale.clip(np.concatenate(parts))

    def _features(self, examples: RatingExamples) -> sp.csr_matrix:
        """Features [R, words + numbers]; texts are read block by block."""
        blocks = []
        for start in range(0, len(examples), ROWS_AT_ONCE):
            rows = examples.subset(np.arange(start, min(start + ROWS_AT_ONCE, len(examples))))
            read = list(_read(rows))
            counts = np.array([count for _, count in read], dtype=np.float64)  # [r, 2] visible ratings in the windows
            columns = [
                vectorizer.transform([texts[number] for texts, _ in read])
                for number, vectorizer in enumerate(self.vectorizers)
                if vectorizer is not None
            ]
            blocks.append(sp.hstack([*columns, sp.csr_matrix(self._numbers(rows, counts))], format="csr"))
        return sp.vstack(blocks, format="csr")

    def _numbers(self, rows: RatingExamples, counts: FloatArray) -> FloatArray:
        means = np.stack([rows.user_means, rows.item_means], axis=1)  # [r, 2]
        known = ~np.isnan(means)
        away = np.where(known, means - self.mean, 0.0)
        return np.hstack([away, away * counts / (counts + SHRINKAGE), known, np.log1p(counts)])


def _read(examples: RatingExamples) -> Iterator[tuple[tuple[str, str, str], tuple[int, int]]]:
    """For each row: (item text, user's reviews, others' reviews), and the number of ratings in both windows."""
    catalog, items = examples.dataset.catalog, dict[int, str]()
    for example in examples:
        if example.item_index not in items:
            items[example.item_index] = item_text(catalog.record(example.item_index), ITEM_WORDS)
        texts = items[example.item_index], _reviews(example.user_history), _reviews(example.item_history)
        yield texts, (len(example.user_history), len(example.item_history))


def _reviews(history: Sequence[Rated]) -> str:
    return " ".join(word for rated in history for word in f"{rated.summary} {rated.text}".split()[:REVIEW_WORDS])


def _vectorizer(texts: Sequence[str]) -> "TfidfVectorizer | None":
    """A vectorizer fitted to texts; None where they hold no words, as in data without reviews."""
    if not any(WORD.search(text) for text in texts):
        return None
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, max_features=VOCABULARY, dtype=np.float64).fit(texts)


def _best(tried: Sequence[Tried], valid: RatingExamples) -> Tried:
    """The predictor with the lowest RMSE on validation rows; ties go to the first."""
    return min(tried, key=lambda predictor: _rmse(predictor.predict(valid), valid.ratings))


def _rmse(predicted: FloatArray, truth: FloatArray) -> float:
    return float(np.sqrt(((predicted - truth) ** 2).mean()))


RATING_BASELINES: dict[str, type[RatingPredictor]] = {
    baseline.name: baseline
    for baseline in (GlobalMean, GlobalMedian, UserMean, ItemMean, Biases, MatrixFactorization, TextRegressor)
}
