"""The Rechead: users of a batch never meet, and the equations hold."""

import pytest
import torch

from reckon.errors import ConfigError, ShapeError
from reckon.models.rechead import Rechead, RecheadShape

WIDTH, USERS = 16, 9
GATES = ["soft", "none", "cot-only"]


def rechead(gate="soft", layers=2, seed=0):
    """A random Rechead whose blocks do something."""
    torch.manual_seed(seed)
    head = Rechead(WIDTH, RecheadShape(gate=gate, layers=layers, hidden=32, gamma=0.5)).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return head


def users(seed=1, count=USERS):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, WIDTH, generator=generator), torch.rand(count, generator=generator) < 0.6


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("layers", [1, 3])
def test_a_users_vector_is_the_same_alone_and_inside_any_batch(gate, layers):
    head, (texts, parsed) = rechead(gate, layers), users()
    assert parsed.any() and not parsed.all()
    with torch.no_grad():
        together = head(texts, parsed)
        for row in range(USERS):
            torch.testing.assert_close(head(texts[row : row + 1], parsed[row : row + 1])[0], together[row])
        order = torch.randperm(USERS, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(head(texts[order], parsed[order]), together[order])
        others, parses = users(seed=7, count=40)
        others[5], parses[5] = texts[2], parsed[2]
        torch.testing.assert_close(head(others, parses)[5], together[2])


@pytest.mark.parametrize("gate", GATES)
def test_no_gradient_flows_from_one_user_to_another(gate):
    """The fault of the public release: (3, batch, D) given to an encoder that attends across the batch."""
    head, (texts, parsed) = rechead(gate), users()
    texts.requires_grad_()
    head(texts, parsed)[4].sum().backward()
    touched = texts.grad.abs().sum(dim=(1, 2)) > 0
    assert touched.tolist() == [row == 4 for row in range(USERS)]


def test_the_equations_by_hand():
    head, (texts, _) = rechead(layers=1), users()
    with torch.no_grad():
        x, y, z = (block(texts[:1, place]) for place, block in enumerate(head.blocks))
        read = head.reason(torch.stack([x, y, z], dim=1))[:, 2]
        gate = 1 / (1 + torch.exp(-(head.gate(torch.cat([z, read], dim=1)) - 0.5)))
        torch.testing.assert_close(head(texts[:1], torch.tensor([True])), z + 0.5 * gate * read)


@pytest.mark.parametrize("gate", GATES)
def test_where_the_reply_does_not_parse_only_the_history_is_read(gate):
    head, (texts, _) = rechead(gate), users()
    other = texts.clone()
    other[:, 1:] = torch.randn(USERS, 2, WIDTH, generator=torch.Generator().manual_seed(9))
    broken, right = torch.zeros(USERS, dtype=torch.bool), torch.ones(USERS, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(head(texts, broken), head(other, broken))
        assert (head(texts, right) - head(other, right)).abs().amax(dim=1).gt(1e-3).all()
        assert (head(texts, right) - head(texts, broken)).abs().amax(dim=1).gt(1e-3).all()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_each_text_of_a_user_reaches_the_users_vector(place):
    head, (texts, _) = rechead(), users()
    texts.requires_grad_()
    head(texts, torch.ones(USERS, dtype=torch.bool)).sum().backward()
    assert texts.grad[:, place].abs().sum(dim=1).gt(0).all()


def test_an_untrained_block_hands_the_answer_through():
    torch.manual_seed(0)
    head, (texts, parsed) = Rechead(WIDTH, RecheadShape(gamma=1e-9)).eval(), users()
    with torch.no_grad():
        selected = torch.where(parsed[:, None], texts[:, 2], texts[:, 0])
        torch.testing.assert_close(head(texts, parsed), selected)


def test_the_gate_adds_and_never_takes_the_selection_away():
    head, (texts, parsed) = rechead("soft"), users()
    with torch.no_grad():
        soft = head(texts, parsed)
        selected = torch.where(parsed[:, None], head.blocks[2](texts[:, 2]), head.blocks[0](texts[:, 0]))
        only = Rechead(WIDTH, RecheadShape(gate="cot-only", layers=2, hidden=32)).eval()
        only.load_state_dict(head.state_dict())
        read = only(texts, parsed)
        share = (soft - selected).norm(dim=1) / read.norm(dim=1)
    assert (share > 0).all() and (share < 0.5).all()


def test_wrong_shapes_and_settings_are_refused():
    head, (texts, parsed) = rechead(), users()
    for wrong in (texts[:, :2], texts[..., :8], texts[0]):
        with pytest.raises(ShapeError, match="texts"):
            head(wrong, parsed)
    with pytest.raises(ShapeError):
        head(texts, parsed[:3])
    with pytest.raises(ConfigError, match=r"rechead\.heads"):
        Rechead(10, RecheadShape())
    for wrong in ({"gamma": 0.0}, {"dropout": 1.0}, {"layers": 0}, {"hidden": 0}):
        with pytest.raises(ConfigError, match="rechead"):
            RecheadShape(**wrong)
