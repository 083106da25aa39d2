"""Inputs of sequential networks, their training loop, and laws for all of them."""

import numpy as np
import pytest
import torch
from support import shelf
from torch import nn

from reckon.baselines.sequential import sequences
from reckon.baselines.sequential.bert4rec import BERT4Rec
from reckon.baselines.sequential.caser import Caser
from reckon.baselines.sequential.gru4rec import GRU4Rec
from reckon.baselines.sequential.sasrec import SASRec
from reckon.baselines.sequential.sequence_baseline import SequenceBaseline
from reckon.baselines.sequential.sequences import NOT_A_TARGET, SequenceConfig, next_item_loss, pieces, train
from reckon.errors import CheckpointError, ConfigError

NETWORKS = [SASRec, BERT4Rec, GRU4Rec, Caser]
CAUSAL = [SASRec, GRU4Rec, Caser]
ITEMS, BLANK = 12, 12


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data")


@pytest.fixture(params=NETWORKS, ids=lambda baseline: baseline.NAME)
def baseline(request):
    return request.param


def untrained(baseline, **settings):
    torch.manual_seed(0)
    config = baseline.CONFIG(**({"width": 8, "max_length": 6} | settings))
    return baseline.NETWORK(ITEMS, config).eval()


def arrays(*sequences):
    return [np.array(sequence, dtype=np.int64) for sequence in sequences]


def test_all_sequential_baselines_are_tested_here():
    assert set(SequenceBaseline.__subclasses__()) == set(NETWORKS)


# -- rows -----------------------------------------------------------------------------------------------------------


def test_pieces_are_cut_from_the_end_and_hold_every_event_once():
    found = pieces(arrays([1, 2, 3, 4, 5], [6], [7, 8]), 2)
    assert [piece.tolist() for piece in found] == [[4, 5], [2, 3], [1], [6], [7, 8]]


@pytest.mark.parametrize("baseline", CAUSAL)
def test_a_causal_network_reads_the_items_before_each_target(baseline):
    rows = untrained(baseline).rows_to_learn(arrays([3, 1, 4], [5]), torch.Generator())
    assert rows.tokens.tolist() == [[BLANK, 3, 1], [BLANK, BLANK, BLANK]]
    assert rows.targets.tolist() == [[3, 1, 4], [5, NOT_A_TARGET, NOT_A_TARGET]]
    assert rows.lengths.tolist() == [3, 1]


@pytest.mark.parametrize("baseline", CAUSAL)
def test_a_long_history_loses_its_oldest_events(baseline):
    rows = untrained(baseline, max_length=3).rows_to_read(arrays([1, 2, 3, 4], []))
    assert rows.tokens.tolist() == [[BLANK, 3, 4], [BLANK, BLANK, BLANK]]
    assert rows.lengths.tolist() == [3, 1]


# -- laws of the networks -------------------------------------------------------------------------------------------


def test_a_score_does_not_depend_on_a_longer_history_in_the_batch(baseline):
    network = untrained(baseline)
    alone = network.user_states(arrays([2, 7]))
    beside = network.user_states(arrays([2, 7], [1, 3, 5, 7, 9]))
    torch.testing.assert_close(beside[:1], alone, atol=1e-6, rtol=1e-5)


def test_padding_never_influences_a_user(baseline):
    network = untrained(baseline)
    rows = network.rows_to_read(arrays([2, 7], [1, 3, 5, 7, 9]))
    other = rows.tokens.clone()
    other[0, int(rows.lengths[0]) :] = 4
    counted = int(rows.lengths[0])
    torch.testing.assert_close(
        network(other, rows.lengths)[0, :counted], network(rows.tokens, rows.lengths)[0, :counted]
    )


@pytest.mark.parametrize("baseline", CAUSAL)
def test_a_later_item_never_influences_an_earlier_position(baseline):
    network = untrained(baseline)
    tokens, lengths = torch.tensor([[BLANK, 1, 2, 3, 4]]), torch.tensor([5])
    changed = tokens.clone()
    changed[0, 3] = 9
    before, after = network(tokens, lengths)[0], network(changed, lengths)[0]
    torch.testing.assert_close(before[:3], after[:3])
    assert not torch.allclose(before[3:], after[3:])


def test_the_order_of_the_history_matters(baseline):
    network = untrained(baseline)
    states = network.user_states(arrays([1, 2, 3], [2, 1, 3]))
    assert not torch.allclose(states[0], states[1], atol=0, rtol=1e-3)


def test_a_score_is_the_inner_product_with_the_input_vector_of_the_item(baseline):
    network = untrained(baseline)
    nn.init.normal_(network.bias)
    state = network.user_states(arrays([1, 2]))
    expected = (state[0] * network.items.weight[5]).sum() + network.bias[5]
    torch.testing.assert_close(network.item_scores(state)[0, 5], expected)


def test_the_loss_of_constant_scores_is_the_log_of_the_catalog_size(baseline):
    network = untrained(baseline)
    nn.init.zeros_(network.items.weight)
    rows = network.rows_to_learn(arrays([1, 2, 3], [4]), torch.Generator().manual_seed(0))
    assert next_item_loss(network, rows).item() == pytest.approx(np.log(ITEMS))


def test_the_loss_is_the_mean_over_targets_without_padding():
    network = untrained(SASRec)
    nn.init.normal_(network.bias)
    both = network.rows_to_learn(arrays([1, 2, 3], [4]), torch.Generator())
    first, second = (network.rows_to_learn(arrays(row), torch.Generator()) for row in ([1, 2, 3], [4]))
    expected = (3 * next_item_loss(network, first) + next_item_loss(network, second)) / 4
    torch.testing.assert_close(next_item_loss(network, both), expected)


@pytest.mark.parametrize("at_once", [1, 3, 64])
def test_the_loss_does_not_depend_on_the_block_size(monkeypatch, at_once):
    network = untrained(SASRec)
    nn.init.normal_(network.bias)
    rows = network.rows_to_learn(arrays([0, 1, 2, 3, 4], [0, 1]), torch.Generator())
    monkeypatch.setattr("reckon.baselines.sequential.sequences.POSITIONS_AT_ONCE", at_once)
    hidden = network(rows.tokens, rows.lengths)[rows.targets != NOT_A_TARGET]
    expected = nn.functional.cross_entropy(network.item_scores(hidden), torch.tensor([0, 1, 2, 3, 4, 0, 1]))
    torch.testing.assert_close(next_item_loss(network, rows), expected)


# -- training -------------------------------------------------------------------------------------------------------


def test_a_deterministic_next_item_is_learned(baseline, data):
    told = []
    # Training sequences have four events here: a longer window would read positions that were never trained.
    settings = baseline.CONFIG(width=16, max_length=4, dropout=0.0, learning_rate=1e-2, epochs=3, patience=3)
    fitted = baseline.fit(data, settings, seed=1, on_progress=told.append)
    assert (fitted.ranks(data.examples("test"), 1).ranks == 1).all()
    assert told == sorted(told) and told[-1] <= 1


def scripted(*values):
    """A `validate` that answers from a script."""
    answers = iter(values)
    return lambda: next(answers)


def test_training_keeps_the_best_state_and_stops_after_patience(monkeypatch):
    monkeypatch.setattr("reckon.baselines.sequential.sequences.STEPS_PER_ROUND", 5)
    network, states = untrained(SASRec, patience=2, epochs=10), []
    answer = scripted(0.1, 0.2, 0.5, 0.4, 0.5)

    def validate():
        states.append(network.bias.detach().clone())
        return answer()

    best = train(network, arrays([1, 2, 3]), validate, SASRec.CONFIG(width=8, patience=2, epochs=10), seed=0)
    assert best == 0.5 and len(states) == 5
    torch.testing.assert_close(network.bias.detach(), states[2])
    assert not network.training


def test_training_without_improvement_keeps_the_initial_state(monkeypatch):
    monkeypatch.setattr("reckon.baselines.sequential.sequences.STEPS_PER_ROUND", 5)
    network = untrained(SASRec)
    before = network.bias.detach().clone()
    train(network, arrays([1, 2]), scripted(0.9, 0.1, 0.1), SASRec.CONFIG(width=8, patience=2), seed=0)
    torch.testing.assert_close(network.bias.detach(), before)


def test_only_training_and_validation_rows_are_read(data, monkeypatch):
    asked, real = [], type(data).examples
    monkeypatch.setattr(type(data), "examples", lambda self, split, *rest: (asked.append(split), real(self, split))[1])
    GRU4Rec.fit(data, GRU4Rec.CONFIG(epochs=1))
    assert asked == ["valid"]


def test_weights_of_another_width_are_refused(data):
    narrow = GRU4Rec.untrained(data.catalog, GRU4Rec.CONFIG(width=4))
    with pytest.raises(CheckpointError, match="another shape"):
        GRU4Rec.from_tensors(data.catalog, GRU4Rec.CONFIG(width=8), True, narrow.tensors())


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"max_length": 0},
        {"dropout": 1.0},
        {"epochs": 0},
        {"patience": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"validation_rows": 0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SequenceConfig(**wrong)


def test_every_config_checks_the_shared_settings(baseline):
    with pytest.raises(ConfigError, match="dropout"):
        baseline.CONFIG(dropout=1.0)


def test_a_large_catalog_costs_the_same_loss_and_little_memory(monkeypatch):
    """Above SCORES_KEPT the scores are computed again in the backward pass: same gradients, no scores kept."""
    positions, items, width = 200, 3000, 4
    torch.manual_seed(0)
    network = SASRec.NETWORK(items, SASRec.CONFIG(width=width, max_length=positions)).eval()
    rows = sequences.Rows(
        tokens=torch.randint(items, (1, positions)),
        lengths=torch.tensor([positions]),
        targets=torch.randint(items, (1, positions)),
    )

    def gradients_and_kept():
        kept = []
        network.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: kept.append(tensor.numel()) or tensor, lambda t: t
        ):
            loss = next_item_loss(network, rows)
        loss.backward()
        return [weight.grad.clone() for weight in network.parameters() if weight.grad is not None], max(kept)

    whole, largest = gradients_and_kept()
    monkeypatch.setattr(sequences, "SCORES_KEPT", 0)
    monkeypatch.setattr(sequences, "BLOCK_SCORES", 7 * items)
    again, largest_again = gradients_and_kept()
    for ours, theirs in zip(again, whole, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert largest >= sequences.POSITIONS_AT_ONCE * items > largest_again
