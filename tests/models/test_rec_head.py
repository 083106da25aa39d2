"""Rows of the item table: one unit vector per item, whoever shares its batch."""

import pytest
import torch
from support.tiny import FAMILIES, backbone

from reckon.models import rec_head
from reckon.models.rec_head import encode_items, encode_rows, user_vectors
from reckon.models.scoring import item_scores


def prompts(count=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randint(3, 300, (int(length),), generator=generator).tolist()
        for length in torch.randint(1, 30, (count,), generator=generator)
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("tokens_at_once", [1, 50, 8192])
def test_rows_do_not_depend_on_the_batch_they_were_encoded_in(family, tokens_at_once, monkeypatch):
    monkeypatch.setattr(rec_head, "TOKENS_AT_ONCE", tokens_at_once)
    bone, items = backbone(family), prompts()
    with torch.no_grad():
        one_by_one = torch.cat([encode_rows(bone, [item]) for item in items])
    torch.testing.assert_close(encode_items(bone, items), one_by_one, rtol=1e-4, atol=1e-5)


def test_rows_follow_their_prompts_when_the_order_changes():
    bone, items = backbone(), prompts()
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(1))
    moved = encode_items(bone, [items[row] for row in order.tolist()])
    torch.testing.assert_close(moved, encode_items(bone, items)[order], rtol=1e-4, atol=1e-5)


def test_a_row_is_the_state_at_the_items_last_token_at_unit_length():
    bone, items = backbone(), prompts(3)
    table = encode_items(bone, items)
    for row, item in enumerate(items):
        with torch.no_grad():
            last = bone.decoder(input_ids=torch.tensor([item]), use_cache=False).last_hidden_state[0, -1]
        torch.testing.assert_close(table[row], last / last.norm(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(table.norm(dim=1), torch.ones(3))


def test_encoding_keeps_the_models_mode_and_no_graph():
    bone = backbone()
    bone.model.train()
    assert not encode_items(bone, prompts(2)).requires_grad
    assert bone.model.training


def test_encoding_reports_every_item_once():
    counts = []
    encode_items(backbone(), prompts(), on_batch=counts.append)
    assert sum(counts) == 9


def test_no_batch_holds_more_padded_tokens_than_allowed(monkeypatch):
    monkeypatch.setattr(rec_head, "TOKENS_AT_ONCE", 60)
    bone, sizes = backbone(), []
    original = bone.last_hidden
    bone.last_hidden = lambda batch: sizes.append(batch.ids.numel()) or original(batch)
    encode_items(bone, prompts(30))
    assert max(sizes) <= 60 and len(sizes) > 1


def test_scores_are_cosines_over_the_temperature():
    users, items = user_vectors(torch.tensor([[3.0, 4.0]])), torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    torch.testing.assert_close(item_scores(users / 0.02, items), torch.tensor([[30.0, 40.0, 50.0]]))


def test_rows_of_a_bfloat16_model_are_float32():
    bone = backbone()
    bone.model.to(torch.bfloat16)
    table = encode_items(bone, prompts(3))
    assert table.dtype == torch.float32
    torch.testing.assert_close(table.norm(dim=1), torch.ones(3))
