"""Properties of each sequential network."""

import numpy as np
import pytest
import torch
from torch import nn

from reckon.baselines.sequential.bert4rec import BERT4RecConfig, BERT4RecNetwork
from reckon.baselines.sequential.caser import CaserConfig, CaserNetwork
from reckon.baselines.sequential.gru4rec import GRU4RecConfig, GRU4RecNetwork
from reckon.baselines.sequential.sequences import NOT_A_TARGET
from reckon.baselines.sequential.transformer import TransformerConfig
from reckon.errors import ConfigError

ITEMS, BLANK = 10, 10


def made(network, config, **settings):
    torch.manual_seed(0)
    return network(ITEMS, config(**({"width": 4, "max_length": 8} | settings))).eval()


def many_sequences():
    return [np.arange(5) + start for start in range(5)] * 200


# -- BERT4Rec -------------------------------------------------------------------------------------------------------


def test_bert4rec_masks_exactly_its_targets():
    network = made(BERT4RecNetwork, BERT4RecConfig)
    rows = network.rows_to_learn([*many_sequences(), np.array([9])], torch.Generator().manual_seed(0))
    hidden = rows.targets != NOT_A_TARGET
    inside = torch.arange(5) < rows.lengths[:, None]
    assert (rows.tokens[hidden] == BLANK).all()
    assert (rows.tokens[~hidden & inside] != BLANK).all()
    assert not (hidden & ~inside).any()
    assert hidden.any(dim=1).all()  # each row teaches something


def test_bert4rec_masks_the_configured_share_of_items():
    network = made(BERT4RecNetwork, BERT4RecConfig, hidden_share=0.4, last_share=0.0)
    rows = network.rows_to_learn(many_sequences(), torch.Generator().manual_seed(0))
    # Rows where nothing was drawn (0.6 ** 5 of them) hide their last item.
    expected = 0.4 + 0.6**5 / 5
    assert (rows.targets != NOT_A_TARGET).float().mean().item() == pytest.approx(expected, abs=0.02)


def test_bert4rec_masks_only_the_last_item_at_last_share_one():
    network = made(BERT4RecNetwork, BERT4RecConfig, last_share=1.0)
    rows = network.rows_to_learn([np.array([1, 2, 3]), np.array([4])], torch.Generator())
    assert rows.targets.tolist() == [[-1, -1, 3], [4, -1, -1]]
    assert rows.tokens.tolist() == [[1, 2, BLANK], [BLANK, BLANK, BLANK]]


def test_bert4rec_appends_a_blank_to_a_history():
    rows = made(BERT4RecNetwork, BERT4RecConfig, max_length=3).rows_to_read([np.array([1, 2, 3]), np.array([], int)])
    assert rows.tokens.tolist() == [[2, 3, BLANK], [BLANK, BLANK, BLANK]]
    assert rows.lengths.tolist() == [3, 1]


def test_bert4rec_reads_in_both_directions():
    network = made(BERT4RecNetwork, BERT4RecConfig)
    lengths = torch.tensor([3])
    first = network(torch.tensor([[BLANK, 2, 3]]), lengths)[0, 0]
    assert not torch.allclose(first, network(torch.tensor([[BLANK, 2, 4]]), lengths)[0, 0])


# -- GRU4Rec --------------------------------------------------------------------------------------------------------


def test_gru4rec_continues_from_its_state():
    network = made(GRU4RecNetwork, GRU4RecConfig)
    tokens = torch.tensor([[BLANK, 1, 2, 3]])
    _, state = network.units(network.items(tokens[:, :2]))
    continued, _ = network.units(network.items(tokens[:, 2:]), state)
    torch.testing.assert_close(network(tokens, torch.tensor([4]))[:, 2:], network.norm(continued))


# -- Caser ----------------------------------------------------------------------------------------------------------


def test_caser_reads_the_last_vectors_with_zeros_before_the_first():
    network = made(CaserNetwork, CaserConfig, recent=3)
    images = network.images(torch.tensor([[5, 6, 7, 8]]))[0]  # [4, 3, D]
    vector, nothing = network.items.weight, torch.zeros(4)
    torch.testing.assert_close(images[0], torch.stack([nothing, nothing, vector[5]]))
    torch.testing.assert_close(images[3], torch.stack([vector[6], vector[7], vector[8]]))


def test_caser_scores_equal_a_case_worked_out_by_hand():
    """Two dimensions, two recent events: a filter that sums one event, one that sums both, and a vertical one."""
    network = made(CaserNetwork, CaserConfig, width=2, recent=2, horizontal=1, vertical=1)
    with torch.no_grad():
        network.items.weight[1], network.items.weight[2] = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -1.0])
        for convolution in (*network.horizontal, network.vertical):
            nn.init.zeros_(convolution.bias)
            nn.init.ones_(convolution.weight)
        network.vertical.weight.copy_(torch.tensor([0.5, 2.0]).view(1, 1, 2, 1))
        network.out.weight.copy_(torch.tensor([[1.0, 10.0, 0.0, 0.0], [0.0, 0.0, 1.0, 10.0]]))
        nn.init.zeros_(network.out.bias)
    hidden = network(torch.tensor([[1, 2]]), torch.tensor([2]))[0, 1]
    # Heights: one event, max(1 + 2, 3 - 1) = 3; both events, 1 + 2 + 3 - 1 = 5. Vertical: 0.5 * (1, 2) + 2 * (3, -1).
    torch.testing.assert_close(hidden, torch.tensor([3 + 10 * 5.0, max(0.0, 6.5 + 10 * -1.0)]))


def test_caser_does_not_read_events_before_the_latest_ones():
    network = made(CaserNetwork, CaserConfig, recent=2)
    states = network.user_states([np.array([1, 5, 6]), np.array([9, 5, 6])])
    torch.testing.assert_close(states[0], states[1])


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        (TransformerConfig, {"layers": 0}),
        (TransformerConfig, {"heads": 3}),
        (BERT4RecConfig, {"hidden_share": 1.0}),
        (BERT4RecConfig, {"last_share": 1.5}),
        (GRU4RecConfig, {"layers": 0}),
        (CaserConfig, {"recent": 0}),
        (CaserConfig, {"vertical": 0}),
    ],
)
def test_wrong_settings_are_refused(config, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        config(**wrong)
