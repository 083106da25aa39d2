"""ItemKNN and co-occurrence on cases worked out by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from support import shelf

from reckon.baselines.classical.neighbours import ItemKNN, ItemKNNConfig, co_occurrence, cosine, strongest
from reckon.errors import ConfigError

A, B, C = 0, 1, 2


def test_cosine_is_shared_users_over_the_root_of_the_product():
    taken = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]], dtype=np.float32))
    found = cosine(taken.T @ taken, shrinkage=0.0).toarray()
    assert found[A, B] == pytest.approx(2 / np.sqrt(4 * 2))
    assert found[A, C] == pytest.approx(1 / np.sqrt(4 * 1))
    assert found[B, C] == 0 and (found == found.T).all() and (found.diagonal() == 0).all()


def test_shrinkage_lowers_the_similarity_of_pairs_with_few_common_users():
    taken = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 0]], dtype=np.float32))
    found = cosine(taken.T @ taken, shrinkage=2.0).toarray()
    assert found[A, C] == pytest.approx(1 / (np.sqrt(4) + 2))


def test_only_the_strongest_neighbours_are_kept():
    matrix = sp.csr_matrix(np.array([[0, 3, 1, 2], [0, 0, 0, 0], [5, 5, 5, 0]], dtype=np.float32))
    assert strongest(matrix, 2).toarray().tolist() == [[0, 3, 0, 2], [0, 0, 0, 0], [5, 5, 0, 0]]


def test_scores_are_the_weighted_sum_of_the_history(tmp_path):
    data = shelf.dataset(tmp_path / "data")
    knn = ItemKNN.fit(data, ItemKNNConfig(decay=0.5))
    similarity = knn.similarity.toarray()
    expected = similarity[7] + 0.5 * similarity[3] + 0.25 * similarity[0]
    assert np.allclose(knn.scores([np.array([0, 3, 7])])[0], expected)


def test_the_neighbours_of_a_book_are_the_books_next_to_it(tmp_path):
    data = shelf.dataset(tmp_path / "data", users=12)
    knn = ItemKNN.fit(data, ItemKNNConfig(shrinkage=0.0))
    shelf_order = data.catalog.indices([f"b{number:02d}" for number in range(12)])
    best = knn.similarity[shelf_order[5]].toarray()[0]
    assert set(np.argsort(-best)[:2]) == {shelf_order[4], shelf_order[6]}


def test_a_reversed_pair_counts_less():
    pairs = co_occurrence([np.array([A, B])], 3, backward=0.25).toarray()
    assert pairs[A, B] == 1 and pairs[B, A] == 0.25 and pairs.sum() == 1.25


def test_a_pair_counts_less_for_each_event_between():
    pairs = co_occurrence([np.array([A, B, C]), np.array([A, C])], 3, backward=0.0, decay=0.5).toarray()
    assert pairs[A, B] == 1 and pairs[B, C] == 1 and pairs[A, C] == 1.5


def test_co_occurrence_ignores_the_item_itself_and_other_users():
    pairs = co_occurrence([np.array([A, A]), np.array([B])], 3)
    assert pairs.nnz == 0


@pytest.mark.parametrize("wrong", [{"neighbours": 0}, {"shrinkage": -1.0}, {"decay": 0.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ItemKNNConfig(**wrong)
