"""Semantic ids: one short tuple of tokens per item; items with similar text have tuples with a common beginning.

Entry point: `semantic_ids`. The codes come from an RQ-VAE over sentence vectors of the item texts. A last code, the
collision code, numbers the items with equal tuples, so every id is unique. Items without text differ by the collision
code alone.

Source: Rajput et al. 2023 (arXiv 2305.05065) section 3.1, "Handling Collisions".
"""

from collections import Counter

import torch
from torch import Tensor

from reckon.baselines.generative.rqvae import RQVAEConfig, standardised, train_rqvae
from reckon.data import Catalog
from reckon.models.sentence_encoder import new_encoder
from reckon.prompts import item_text

PAD = 0  # also the start token of the decoder
START = 1  # first token of every history, so that an empty history has one token
SPECIAL = 2
WIDTH, ALL_WORDS_ALIKE = 256, 1e6  # static encoder: a half-life that gives all words one weight


def semantic_ids(catalog: Catalog, config: RQVAEConfig, encoder: str, item_words: int, seed: int) -> Tensor:
    """One id of C + 1 codes for every item.

    Args:
        catalog: its item texts are encoded.
        config: settings of the RQ-VAE.
        encoder: `static`, or a hub id or folder of sentence-transformers.
        item_words: words of each item's text beside its title.
        seed: of initial weights, k-means and batches.

    Returns:
        [I, C + 1] int64, no row twice. Codes start at 0 in every column.
    """
    texts = [item_text(catalog.record(index), item_words) for index in range(len(catalog))]
    vectors = new_encoder(encoder, texts, WIDTH, ALL_WORDS_ALIKE).encode(texts)
    codes = train_rqvae(vectors, config, seed).codes(standardised(vectors))
    return with_collision_code(codes)


def with_collision_code(codes: Tensor) -> Tensor:
    """Codes [I, C] with the collision code as a further column: the number of earlier rows with the same codes. [I, C +
    1]."""
    before: Counter[tuple[int, ...]] = Counter()
    last = []
    for row in codes.tolist():
        last.append(before[tuple(row)])
        before[tuple(row)] += 1
    return torch.cat([codes, torch.tensor(last, dtype=torch.long)[:, None]], dim=1)


def as_tokens(ids: Tensor) -> tuple[Tensor, int]:
    """Ids [I, C + 1] as tokens of one vocabulary in which every column has its own range, and the vocabulary's size."""
    sizes = ids.amax(dim=0) + 1  # [C + 1]
    starts = SPECIAL + sizes.cumsum(0) - sizes
    return ids + starts, SPECIAL + int(sizes.sum())
