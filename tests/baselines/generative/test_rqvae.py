"""The RQ-VAE reconstructs vectors, and every item gets a unique id."""

import pytest
import torch
from support import shelf
from torch.nn.functional import mse_loss

from reckon.baselines.generative.rqvae import RQVAE, RQVAEConfig, standardised, train_rqvae
from reckon.baselines.generative.semantic_ids import SPECIAL, as_tokens, semantic_ids, with_collision_code
from reckon.errors import ConfigError

CONFIG = RQVAEConfig(levels=3, codebook_size=8, hidden_size=32, latent_size=8, epochs=60, batch_size=64)


@pytest.fixture(scope="module")
def vectors():
    """Four clouds of sixty points."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 16, generator=generator) * 3
    return (centres[:, None] + torch.randn(4, 60, 16, generator=generator)).flatten(0, 1)


@pytest.fixture(scope="module")
def trained(vectors):
    return train_rqvae(vectors, CONFIG, seed=0)


def error(model, vectors, codes):
    with torch.no_grad():
        rebuilt = model.decoder(model.codebooks[torch.arange(len(model.codebooks)), codes].sum(dim=1))
        return float(mse_loss(rebuilt, standardised(vectors)))


def test_codes_rebuild_vectors_better_than_random_codes_and_than_the_mean(vectors, trained):
    own = trained.codes(standardised(vectors))
    drawn = torch.randint(8, own.shape, generator=torch.Generator().manual_seed(1))
    assert error(trained, vectors, own) < 0.5 * error(trained, vectors, drawn)
    assert error(trained, vectors, own) < 0.5 * float(standardised(vectors).pow(2).mean())


def test_every_level_lowers_the_reconstruction_error(vectors, trained):
    latents = trained.encoder(standardised(vectors)).detach()
    _, sums = trained.quantise(latents)
    distances = [float((latents - sums[:, level]).pow(2).mean()) for level in range(3)]
    assert distances[0] > distances[1] > distances[2]


def test_clusters_have_different_first_codes(vectors, trained):
    first = trained.codes(standardised(vectors))[:, 0].view(4, 60)
    clouds = [set(row.tolist()) for row in first]
    assert sum(map(len, clouds)) == len(set.union(*clouds))


def test_the_nearest_code_of_each_residual_is_chosen():
    model = RQVAE(2, 2, RQVAEConfig(levels=2, latent_size=2))
    with torch.no_grad():
        model.codebooks.copy_(torch.tensor([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]))
    codes, sums = model.quantise(torch.tensor([[4.9, 0.2], [0.1, 0.8]]))
    assert codes.tolist() == [[1, 1], [0, 0]]
    assert sums[:, -1].tolist() == [[5.0, 0.0], [0.0, 1.0]]


def test_the_encoder_gets_the_decoders_gradient_through_the_codes(vectors):
    model = train_rqvae(vectors, RQVAEConfig(levels=1, codebook_size=2, hidden_size=8, latent_size=4, epochs=0), 0)
    latents = model.encoder(standardised(vectors[:5])).detach().requires_grad_()
    summed = model.quantise(latents)[1][:, -1]
    model.decoder(latents + (summed - latents).detach()).sum().backward()
    codes = summed.detach().requires_grad_()
    model.decoder(codes).sum().backward()
    torch.testing.assert_close(latents.grad, codes.grad)


def test_the_same_seed_gives_the_same_codes(vectors, trained):
    again = train_rqvae(vectors, CONFIG, seed=0)
    assert torch.equal(again.codes(standardised(vectors)), trained.codes(standardised(vectors)))


def test_a_catalog_smaller_than_its_codebooks_has_ids(tmp_path):
    data = shelf.dataset(tmp_path / "data")
    ids = semantic_ids(data.catalog, RQVAEConfig(epochs=3), "static", 16, seed=0)
    assert len(ids.unique(dim=0)) == len(data.catalog)


def test_equal_codes_get_different_collision_codes():
    codes = torch.tensor([[1, 2], [0, 2], [1, 2], [1, 2], [0, 2]])
    assert with_collision_code(codes)[:, 2].tolist() == [0, 0, 1, 2, 1]


def test_equal_vectors_get_unique_ids():
    same = torch.full((5, 8), 0.3)
    ids = with_collision_code(train_rqvae(same, CONFIG, 0).codes(standardised(same)))
    assert len(ids.unique(dim=0)) == 5


def test_every_column_has_its_own_range_of_tokens():
    tokens, vocabulary = as_tokens(torch.tensor([[0, 1, 0], [2, 0, 0], [2, 0, 1]]))
    assert tokens.tolist() == [[2, 6, 7], [4, 5, 7], [4, 5, 8]]
    assert vocabulary == SPECIAL + 3 + 2 + 2


@pytest.mark.parametrize("field", ["levels", "codebook_size", "epochs", "learning_rate", "commitment"])
def test_settings_out_of_range_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=f"ids.{field} = -1"):
        RQVAEConfig(**{field: -1})
