"""Initial weights of a small decoder with induction heads, which look up earlier occurrences of a word.

Entry point: `start_with_induction`. To predict a rating of a calm book, a model must find the user's earlier calm books
in the prompt and read their ratings. Transformers learn such a look-up late: from random weights a decoder of two
layers had not learned it after 1,200 steps of pretraining on the rated bookshop. The initial weights are:

- First layer: head 1, 2, 3 … attends to the token 1, 2, 3 … positions before, because in its RoPE pairs the query is
  rotated ahead of the key by that many positions. It writes that token into its own directions of the stream. So the
  state of a word holds the rating before it.
- Second layer: queries and keys are one projection of the directions that the first layer does not write. So each token
  attends to earlier occurrences of the same word, and each head returns what the same head of the first layer read
  there.
- All other weights are random, and token vectors are large beside the outputs of the layers, so that words stay
  distinct.

Needs biases on queries and keys, as Seed-OSS has them, and one key-value head per head.

Source: induction heads, Olsson et al. 2022 (arXiv 2209.11895); starting queries and keys alike is mimetic
initialisation, Trockman and Kolter 2023 (arXiv 2305.09828).
"""

import math
from typing import Any, cast

import torch
from torch import Tensor
from transformers import SeedOssForCausalLM

PLACE = 20.0  # attention logit at a head's position; lower at its neighbours, far lower elsewhere
MATCH = 20.0  # approximate attention logit between distant tokens with equal vectors; about 0 for different vectors
TOKEN_SCALE = 0.1  # standard deviation of the entries of token vectors
GAIN = 0.57  # ratio of a projection's output length to its input length
ADDED = 0.1  # further factor on the output of a feed-forward block
CARRIED = 0.05  # standard deviation of what a head of the first layer adds to each channel of the stream
GIVEN_BACK = 0.1  # the same for the second layer


def start_with_induction(model: SeedOssForCausalLM, seed: int) -> None:
    """Overwrite the weights of an untrained model in place; one seed always gives the same weights.

    Args:
        model: a Seed-OSS with attention biases, as many key-value heads as heads, and heads of at least 8 channels.
            With one layer only the first part applies.
    """
    width, heads = model.config.hidden_size, model.config.num_attention_heads
    size = width // heads
    generator = torch.Generator().manual_seed(seed)
    angles = cast(Tensor, model.model.rotary_emb.inv_freq).detach()  # [size / 2] radians per token of each pair
    with torch.no_grad():
        _randomise(model, generator)
        first = model.model.layers[0].self_attn
        second = model.model.layers[1].self_attn if len(model.model.layers) > 1 else None
        directions = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q  # [width, width], orthonormal
        rank = size // 2
        first.o_proj.weight.zero_()  # keep the directions that the second layer matches free
        for head in range(heads):
            _read_at(first, head, angles, head + 1)
            into = directions[:, head * rank : (head + 1) * rank]
            of_token = _write(first, head, into, generator)
            if second is not None:
                _match(second, head, directions[:, heads * rank :], generator)
                _give_back(second, head, into, of_token)


def _randomise(model: SeedOssForCausalLM, generator: torch.Generator) -> None:
    """Set random token vectors and projections, scaled so that layer outputs stay small beside token vectors."""
    spread = GAIN / math.sqrt(model.config.hidden_size)
    model.model.embed_tokens.weight.normal_(0, TOKEN_SCALE, generator=generator)
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for reads in (attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj):
            reads.weight.normal_(0, spread, generator=generator)
        for adds in (attention.o_proj, mlp.down_proj):
            adds.weight.normal_(0, ADDED * spread, generator=generator)


def _read_at(attention: Any, head: int, angles: Tensor, places: int) -> None:
    """Make one head attend to the token `places` positions before, with the fast quarter of its RoPE pairs (j, j + size
    / 2).

    A pair that rotates by an angle per token adds cos(angle * (distance - places)) to the logit if the query's bias is
    rotated back by angle * places.
    """
    fast, size = angles[: max(2, len(angles) // 4)], 2 * len(angles)
    length = math.sqrt(PLACE * math.sqrt(size) / len(fast))  # attention divides by sqrt(size)
    first = head * size + torch.arange(len(fast))
    second = first + size // 2
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[torch.cat([first, second])] = 0  # attention here depends on the position alone
    attention.k_proj.bias[first] = length
    attention.q_proj.bias[first] = length * torch.cos(fast * places)
    attention.q_proj.bias[second] = -length * torch.sin(fast * places)


def _write(attention: Any, head: int, into: Tensor, generator: torch.Generator) -> Tensor:
    """Let a head write a random projection of the token it reads into directions [D, rank]; returns the projection,
    [rank, D]."""
    width, rank = into.shape
    start = head * (width // attention.config.num_attention_heads)
    # About one unit per row for a normalised token.
    of_token = torch.randn(rank, width, generator=generator) / math.sqrt(width)
    attention.v_proj.weight[start : start + rank] = of_token
    attention.o_proj.weight[:, start : start + rank] = CARRIED * math.sqrt(width / rank) * into
    return of_token


def _match(attention: Any, head: int, within: Tensor, generator: torch.Generator) -> None:
    """Give queries and keys of one head the same projection of the directions `within` [D, n], in its slow RoPE
    pairs."""
    width, directions = within.shape
    size = width // attention.config.num_attention_heads
    pairs = torch.arange(max(2, size // 8), size // 2)
    slow = head * size + torch.cat([pairs, pairs + size // 2])
    # Each channel of an equal pair adds its variance to the logit, which attention divides by sqrt(size).
    deviation = math.sqrt(MATCH * math.sqrt(size) / len(slow) / directions)
    same = deviation * torch.randn(len(slow), directions, generator=generator) @ within.T
    attention.q_proj.weight[slow] = same
    attention.k_proj.weight[slow] = same


def _give_back(attention: Any, head: int, into: Tensor, of_token: Tensor) -> None:
    """Let a head read what the first layer wrote into directions [D, rank], and apply the transpose of the projection
    [rank, D]."""
    width, rank = into.shape
    start = head * (width // attention.config.num_attention_heads)
    attention.v_proj.weight[start : start + rank] = into.T
    attention.o_proj.weight[:, start : start + rank] = GIVEN_BACK * math.sqrt(width / rank) * of_token.T
