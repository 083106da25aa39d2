"""RQ-VAE: an autoencoder that quantises vectors to short tuples of codes, one residual level after another.

Entry points: `train_rqvae`, `RQVAE.codes`. Similar vectors get tuples with a common beginning. `semantic_ids` separates
items with equal tuples. Codebooks start at k-means centres of the residuals; with random codebooks most codes stay
unused.

Source: Rajput et al. 2023 (arXiv 2305.05065) section 3.1; residual quantisation of Zeghidour et al. 2021 (2107.03312).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from reckon.errors import ConfigError

KMEANS_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RQVAEConfig:
    """Settings of the RQ-VAE that makes semantic ids. Section `ids` of TIGER's settings."""

    levels: int = 3
    """Code levels per item, without the collision code, >= 1."""

    codebook_size: int = 256
    """Codes per level, >= 1; at most the number of items."""

    hidden_size: int = 128
    """Width of the hidden layer of encoder and decoder, >= 1."""

    latent_size: int = 32
    """Width of the quantised vector, >= 1."""

    commitment: float = 0.25
    """Weight of the commitment loss (beta), >= 0."""

    learning_rate: float = 1e-3
    """Learning rate of AdamW, > 0."""

    batch_size: int = 1024
    """Items per update, >= 1."""

    epochs: int = 200
    """Passes over the catalog, >= 0."""

    def __post_init__(self) -> None:
        for name in ("levels", "codebook_size", "hidden_size", "latent_size", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"ids.{name}", getattr(self, name), "must be at least 1", "use the default")
        for name in ("commitment", "epochs"):
            if getattr(self, name) < 0:
                raise ConfigError(f"ids.{name}", getattr(self, name), "must not be negative", "use the default")
        if self.learning_rate <= 0:
            raise ConfigError("ids.learning_rate", self.learning_rate, "must be positive", "use 1e-3")


class RQVAE(nn.Module):
    """Encoder, residual codebooks, decoder."""

    def __init__(self, width: int, codebook_size: int, config: RQVAEConfig) -> None:
        """`width` is the width D of the vectors; `codebook_size` is K, the codes per level."""
        super().__init__()
        hidden, latent = config.hidden_size, config.latent_size
        self.encoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.codebooks = nn.Parameter(torch.zeros(config.levels, codebook_size, latent))  # [C, K, d]

    def quantise(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Nearest code of latents [n, d] at each level: [n, C], and the sum of the codes up to each level: [n, C,
        d]."""
        residual, chosen, sums = latents, [], []
        total = torch.zeros_like(latents)
        for codebook in self.codebooks:
            nearest = torch.cdist(residual, codebook).argmin(dim=1)  # [n]
            total = total + codebook[nearest]
            residual = latents - total
            chosen.append(nearest)
            sums.append(total)
        return torch.stack(chosen, dim=1), torch.stack(sums, dim=1)

    def codes(self, vectors: Tensor) -> Tensor:
        """Codes of vectors [n, D]: [n, C] int64."""
        with torch.no_grad():
            return self.quantise(self.encoder(vectors))[0]

    def loss(self, vectors: Tensor, commitment: float) -> Tensor:
        """Mean squared reconstruction error plus the codebook and commitment losses of each level."""
        latents = self.encoder(vectors)
        _, sums = self.quantise(latents)
        # Straight-through estimator: the decoder reads the codes; its gradient goes to the encoder unchanged.
        rebuilt = self.decoder(latents + (sums[:, -1] - latents).detach())
        loss = mse_loss(rebuilt, vectors)
        for level in range(sums.shape[1]):
            before = sums[:, level - 1] if level else torch.zeros_like(latents)
            residual, code = latents - before.detach(), sums[:, level] - before
            loss = loss + mse_loss(code, residual.detach()) + commitment * mse_loss(residual, code.detach())
        return loss

    @torch.no_grad()
    def start_codebooks(self, vectors: Tensor, seed: int) -> None:
        """Set each level's codebook to k-means centres of the residuals that the levels before leave."""
        from sklearn.cluster import KMeans

        residual = self.encoder(vectors)
        for level, codebook in enumerate(self.codebooks):
            points = residual.double().numpy()
            clusters = min(len(codebook), len(np.unique(points, axis=0)))
            centres = KMeans(clusters, n_init=1, max_iter=KMEANS_STEPS, random_state=seed).fit(points).cluster_centers_
            self.codebooks[level, :clusters] = torch.from_numpy(centres).float()
            # With fewer points than codes, the other codes repeat the first centre; argmin takes the lowest index, so
            # they stay unused.
            self.codebooks[level, clusters:] = self.codebooks[level, 0]
            residual = residual - codebook[torch.cdist(residual, codebook).argmin(dim=1)]


def train_rqvae(vectors: Tensor, config: RQVAEConfig, seed: int) -> RQVAE:
    """Train an RQ-VAE on vectors [I, D], in float32 on the CPU; the same seed gives the same codes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = RQVAE(vectors.shape[1], min(config.codebook_size, len(vectors)), config)
    # Unit vectors have coordinates near 1 / sqrt(D); scaling them to variance 1 makes one learning rate fit all
    # encoders.
    vectors = standardised(vectors)
    model.start_codebooks(vectors, seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(config.epochs):
        for rows in torch.randperm(len(vectors), generator=generator).split(config.batch_size):
            loss = model.loss(vectors[rows], config.commitment)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return model


def standardised(vectors: Tensor) -> Tensor:
    """Vectors [I, D] with mean 0, divided by one common standard deviation; all-equal vectors become 0."""
    centred = vectors - vectors.mean(dim=0)
    return centred / centred.pow(2).mean().sqrt().clamp_min(1e-12)
