"""Sentence encoders: what the static one promises, and that a model of sentence-transformers fits in its place."""

import math
import sys

import numpy as np
import pytest
import torch

from reckon.errors import CheckpointError, ConfigError, DataError, MissingExtraError
from reckon.models.sentence_encoder import StaticEncoder, direction, load_encoder, new_encoder, words_of

TITLES = ["The Quiet Harbour", "The Black Tide", "The Calm Sea", "The Dark Crime", "Quiet Tide", "海のあとは犯罪"]


DIRECTION_OF_HARBOUR = [1, 1, 1, 1, -1, 1, 1, 1, -1, -1, 1, -1, 1, 1, 1, -1]


@pytest.fixture
def encoder():
    return StaticEncoder.of_texts(TITLES, width=256)


def test_words_are_found_in_any_script_without_regard_to_case():
    assert words_of("The QUIET harbour's end_2, Straße!") == ["the", "quiet", "harbour", "s", "end", "2", "strasse"]
    assert words_of("海のtide") == ["海", "の", "tide"]
    assert words_of(" … ") == []


def test_a_text_has_the_same_vector_alone_and_among_others(encoder):
    together = encoder.encode([*TITLES, "", "quiet"])
    for row, text in enumerate([*TITLES, "", "quiet"]):
        assert torch.equal(encoder.encode([text])[0], together[row])


def test_vectors_have_length_one_and_a_text_without_words_is_zero(encoder):
    vectors = encoder.encode([*TITLES, "", "—", "never seen"])
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * len(TITLES) + [0.0, 0.0, 1.0], abs=1e-6)
    assert encoder.encode([]).shape == (0, 256)


def test_a_text_lies_nearest_to_the_item_that_shares_its_rare_words(encoder):
    items = encoder.encode(TITLES)
    for query, nearest in (("a harbour", 0), ("the dark", 3), ("犯罪", 5), ("THE SEA", 2)):
        assert int((items @ encoder.encode([query])[0]).argmax()) == nearest


def test_weights_are_rarity_and_nearness_to_the_end():
    encoder = StaticEncoder.of_texts(["a b", "a c"], width=64, half_life=2.0)
    rarity = {"a": 1.0, "b": math.log(3 / 2) + 1, "d": math.log(3 / 2) + 1}  # d is in no text
    by_hand = (
        rarity["b"] * 0.5 ** (2 / 2) * direction("b", 64)
        + rarity["d"] * 0.5 ** (1 / 2) * direction("d", 64)
        + rarity["a"] * direction("a", 64)
    )
    found = encoder.encode(["b d a"])[0].numpy()
    np.testing.assert_allclose(found, by_hand / np.linalg.norm(by_hand), rtol=1e-5)


def test_the_direction_of_a_word_follows_from_its_letters_on_every_machine():
    """Python's own hash of a word differs in every process; these numbers do not."""
    assert (direction("harbour", 16) * 4).astype(int).tolist() == DIRECTION_OF_HARBOUR


def test_different_words_are_nearly_at_right_angles():
    vectors = np.stack([direction(f"word{n}", 256) for n in range(200)])
    products = vectors @ vectors.T - np.eye(200)
    assert abs(products.mean()) < 0.002 and np.abs(products).max() < 0.4


def test_it_is_saved_and_loaded_without_change(encoder, tmp_path):
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    assert torch.equal(loaded.encode(TITLES), encoder.encode(TITLES))
    assert loaded.fingerprint == encoder.fingerprint != StaticEncoder.of_texts(TITLES[:3]).fingerprint


def test_what_cannot_be_an_encoder_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no sentence encoder"):
        load_encoder(tmp_path)
    (tmp_path / "static_encoder.json").write_text('{"width": 8')
    with pytest.raises(CheckpointError, match="is damaged"):
        load_encoder(tmp_path)
    with pytest.raises(DataError):
        StaticEncoder.of_texts([])
    for width, half_life in ((12, 1.0), (0, 1.0), (8, 0.0)):
        with pytest.raises(ConfigError, match="rechead"):
            StaticEncoder(width, half_life, 1, {})


def test_the_default_needs_no_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert new_encoder("static", ["a"], 8, 1.0).width == 8
    with pytest.raises(MissingExtraError, match=r"pip install 'reckon-recsys\[encoders\]'"):
        new_encoder("all-MiniLM-L6-v2", ["a"], 8, 1.0)


@pytest.fixture(scope="module")
def library_folder(tmp_path_factory):
    """A tiny model of sentence-transformers, made here."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from support.tiny import tokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("library")
    words = StaticEmbedding(tokenizer().backend_tokenizer, embedding_dim=24)
    library.SentenceTransformer(modules=[words], device="cpu").save(str(folder))
    return folder


def test_any_model_of_sentence_transformers_is_an_encoder(library_folder, tmp_path):
    encoder = new_encoder(str(library_folder), TITLES, width=256, half_life=20.0)
    vectors = encoder.encode([*TITLES, ""])
    assert encoder.width == 24 and vectors.shape == (len(TITLES) + 1, 24) and vectors.dtype == torch.float32
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * len(TITLES) + [0.0], abs=1e-5)
    for row, text in enumerate(TITLES):
        torch.testing.assert_close(encoder.encode([text])[0], vectors[row])
    (vectors.requires_grad_() * 2).sum().backward()  # it can enter a training pass
    encoder.save(tmp_path)
    loaded = load_encoder(tmp_path)
    torch.testing.assert_close(loaded.encode(TITLES), encoder.encode(TITLES))
    assert loaded.fingerprint == encoder.fingerprint


def test_a_library_model_that_is_not_there_is_refused(tmp_path):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(CheckpointError, match="there is no such folder"):
        new_encoder(str(tmp_path / "nowhere"), TITLES, 8, 1.0)
