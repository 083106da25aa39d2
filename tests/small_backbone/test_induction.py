"""Initial weights with induction heads: before training, tokens attend to earlier neighbours and to equal tokens."""

import pytest
import torch
from support import tiny

from reckon.errors import ConfigError
from reckon.small_backbone.induction import start_with_induction
from reckon.small_backbone.pretrain import ROPE_THETA, PretrainConfig, pretrain_config

LENGTH = 120
EARLIER, LAST = 20, LENGTH - 1


def started(seed=0):
    model = tiny.model(
        "seed_oss",
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        intermediate_size=64,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA["induction"]},
    )
    start_with_induction(model, seed)
    return model.eval()


def reading(model):
    """Of the last of 120 tokens, the same as token 20 and no other: attention per layer [heads, 120], logits, ids."""
    ids = torch.randperm(300, generator=torch.Generator().manual_seed(1))[:LENGTH]
    ids[LAST] = ids[EARLIER]
    model.set_attn_implementation("eager")
    with torch.no_grad():
        read = model(ids[None], output_attentions=True)
    return [layer[0, :, LAST] for layer in read.attentions], read.logits[0, LAST], ids


def test_heads_of_the_first_layer_attend_to_the_tokens_before():
    (first, *_), _, _ = reading(started())
    for head, places in enumerate((1, 2, 3, 4)):
        assert first[head].argmax() == LAST - places and first[head].max() > 0.5


def test_the_second_layer_finds_the_same_word_a_hundred_tokens_away():
    for seed in range(3):
        (_, second, third), _, _ = reading(started(seed))
        assert second[:, EARLIER].mean() > 10 / LENGTH, "ten times the share of any token"
        assert third[:, EARLIER].mean() < 2 / LENGTH, "further layers are random"


def test_before_training_words_near_earlier_occurrences_are_likely():
    ranks = []
    for seed in range(12):
        _, logits, ids = reading(started(seed))
        ranks += [int((logits > logits[ids[EARLIER - places]]).sum()) for places in (1, 2, 3, 4)]
    assert sum(ranks) / len(ranks) < 0.43 * len(logits), "half of the vocabulary ranks above any other word"


def test_weights_depend_on_the_seed():
    one, same, other = (started(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["model.layers.0.mlp.up_proj.weight"], other["model.layers.0.mlp.up_proj.weight"])


def test_ratings_start_with_induction_and_rankings_with_words():
    assert (pretrain_config("tiny", "rating").initial, pretrain_config("tiny", "ranking").initial) == (
        "induction",
        "lexical",
    )
    with pytest.raises(ConfigError, match="induction initial weights need heads of at least 8"):
        PretrainConfig(initial="induction", hidden_size=16)
