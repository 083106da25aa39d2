"""Initial weights of a small decoder from lexical statistics: before any training it ranks like TF-IDF.

Entry point: `start_from_words`. The hidden state of a text's last token becomes, up to small random parts, the
recency-weighted TF-IDF mean of the text's word vectors, so a history is close to items that share its rare words:

- Token vectors have equal length, because the norm before attention removes length. All spellings of a word (case,
  leading space) share one random direction; on the one catalog where both were tried, at widths 128 and 256, random
  directions ranked better than an SVD. One channel holds the log IDF.
- Attention of the first layer: the key reads that channel, so softmax weights are proportional to IDF. One slow RoPE
  pair, with the query a quarter turn ahead of the key, adds -sin(angle * distance), so weights halve every `half_life`
  tokens. Values and output pass the other channels through unchanged.
- All other weights are random and small.

From random weights, a small decoder needs more interactions than a shop has to learn that items with common words are
similar. The model needs biases on queries, keys and values, as in Seed-OSS: the constant parts of queries and keys are
biases.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import PreTrainedTokenizerFast, SeedOssForCausalLM

from reckon.errors import ConfigError, DataError

CHANNEL_SCALE = 0.1  # length of the log-IDF channel per nat; small, so token vectors stay nearly equal in length
OWN_SHARE = 0.1  # length of a spelling's own direction, relative to its word's direction
COMMON_SHARE = 0.5  # share of documents above which a word gets SILENT_LOG_WEIGHT
SILENT_LOG_WEIGHT = -3.0  # of words in too many documents, and of all tokens that are no words
MARKER_LENGTH = 0.05  # of the marker's own vector; small, so that its state follows from what it attends to
POOL_GAIN = (
    0.4  # gives the mean of word vectors (length about sqrt(D) * 0.2 after RMSNorm) about the length of one vector
)
OTHERS_SCALE = 0.3  # factor on the outputs of the other, random layers
ROPE_ANGLE = 1e-3  # about this many radians per token; -sin is monotonic up to distance 1,570


def start_from_words(
    model: SeedOssForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    documents: Sequence[str],
    *,
    half_life: float,
    seed: int,
) -> None:
    """Overwrite the weights of an untrained model in place.

    Args:
        model: a Seed-OSS with attention biases, as many key-value heads as heads and tied embeddings.
        tokenizer: its tokenizer; special tokens come first in its vocabulary.
        documents: one text per item, for the IDF.
        half_life: distance in tokens at which a word's weight halves, > 0.
        seed: of the random directions.

    Raises:
        ConfigError: the model has fewer key-value heads than heads.
        DataError: there are no documents.
    """
    config = model.config
    if config.num_key_value_heads != config.num_attention_heads:
        raise ConfigError(
            "num_key_value_heads",
            config.num_key_value_heads,
            "a lexical start needs one per head",
            f"use {config.num_attention_heads}",
        )
    if not documents:
        raise DataError("documents", "is empty", "give at least one item text")
    words = _words(tokenizer, config.vocab_size)
    weights = _log_weights(tokenizer, documents, words)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(_token_vectors(words, weights, config.hidden_size, seed))
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.mul_(OTHERS_SCALE)
            layer.mlp.down_proj.weight.mul_(OTHERS_SCALE)
        _pool_by_weight(model, half_life)


def _words(tokenizer: PreTrainedTokenizerFast, vocab_size: int) -> list[str | None]:
    """The word that each token spells, lower case and without space; None for special tokens."""
    special = set(tokenizer.all_special_ids)
    return [None if i in special else str(tokenizer.decode([i])).strip().lower() for i in range(vocab_size)]


def _log_weights(tokenizer: PreTrainedTokenizerFast, documents: Sequence[str], words: Sequence[str | None]) -> Tensor:
    """Log IDF of each token's word: [V]; SILENT_LOG_WEIGHT for punctuation, too frequent words and words in no
    document."""
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    word_of_token = np.array([numbers[word] for word in words])  # [V]
    count = np.zeros(len(numbers), dtype=np.int64)
    for ids in tokenizer(list(documents), padding=False, truncation=False)["input_ids"]:
        count[np.unique(word_of_token[ids])] += 1
    log_weight = np.log(np.log((1 + len(documents)) / (1 + count)) + 1)
    silent = np.array([word is None or not any(character.isalnum() for character in word) for word in numbers])
    silent |= (count == 0) | (count > COMMON_SHARE * len(documents))
    log_weight[silent] = SILENT_LOG_WEIGHT
    return torch.from_numpy(log_weight[word_of_token]).float()


def _token_vectors(words: Sequence[str | None], log_weight: Tensor, width: int, seed: int) -> Tensor:
    """Token vectors [V, D] of length 1, shorter for special tokens; the last channel holds the log weight."""
    generator = torch.Generator().manual_seed(seed)
    numbers = {word: number for number, word in enumerate(dict.fromkeys(words))}
    word_of_token = torch.tensor([numbers[word] for word in words])
    of_word = normalize(torch.randn(len(numbers), width - 1, generator=generator), dim=1)[word_of_token]
    of_token = normalize(torch.randn(len(words), width - 1, generator=generator), dim=1)
    channel = CHANNEL_SCALE * log_weight  # [V]
    content = normalize(of_word + OWN_SHARE * of_token, dim=1) * (1 - channel**2).sqrt()[:, None]
    vectors = torch.cat([content, channel[:, None]], dim=1)  # [V, D]
    special = torch.tensor([word is None for word in words])
    vectors[special] = MARKER_LENGTH * torch.cat([of_token[special], torch.zeros(int(special.sum()), 1)], dim=1)
    return vectors


def _pool_by_weight(model: SeedOssForCausalLM, half_life: float) -> None:
    """Make every head of the first layer compute a mean weighted by recency and by the weight channel."""
    config, attention = model.config, model.model.layers[0].self_attn
    width, heads = config.hidden_size, config.num_attention_heads
    size = width // heads
    angle = cast(Tensor, model.model.rotary_emb.inv_freq).detach()  # [size / 2] radians per token of each rotating pair
    turning, resting = int((angle.log() - math.log(ROPE_ANGLE)).abs().argmin()), len(angle) - 1
    if turning == resting:
        turning -= 1
    steepness = math.log(2) / half_life / float(angle[turning]) * math.sqrt(size)  # attention divides by sqrt(size)
    carry = torch.eye(width)
    carry[-1, -1] = 0  # the weight channel is not part of the content
    for start in range(0, width, size):
        rows = slice(start, start + size)
        attention.q_proj.weight[rows].mul_(OTHERS_SCALE)
        attention.k_proj.weight[rows].mul_(OTHERS_SCALE)
        # Pair j of a head is made of its channels j and j + size / 2.
        attention.k_proj.bias[start + turning] = math.sqrt(steepness)
        attention.q_proj.bias[start + turning + size // 2] = math.sqrt(steepness)
        root = size**0.25
        attention.q_proj.bias[start + resting] = root
        attention.k_proj.weight[start + resting] = 0
        # RMSNorm multiplies a vector of length 1 by sqrt(width).
        attention.k_proj.weight[start + resting, -1] = root / (CHANNEL_SCALE * math.sqrt(width))
    # Entries of size 1, not 1 / sqrt(width), so that optimiser steps are small beside them.
    attention.v_proj.weight.copy_(carry)
    attention.v_proj.bias.zero_()
    attention.o_proj.weight.copy_(POOL_GAIN * carry)
