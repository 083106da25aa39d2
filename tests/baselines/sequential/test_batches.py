"""Batches of similar length hold every row once."""

import torch

from reckon.baselines.sequential.batches import batches_of_like_length


def test_every_row_is_in_one_batch_of_at_most_the_size():
    batches = batches_of_like_length(torch.arange(101) % 7, 8, torch.Generator().manual_seed(0))
    assert sorted(torch.cat(batches).tolist()) == list(range(101))
    assert max(map(len, batches)) == 8


def test_padding_is_a_small_part_of_the_batches():
    lengths = torch.randint(1, 100, (1000,), generator=torch.Generator().manual_seed(0))
    batches = batches_of_like_length(lengths, 10, torch.Generator().manual_seed(1))
    assert sum(len(rows) * int(lengths[rows].max()) for rows in batches) < 1.1 * int(lengths.sum())


def test_batches_depend_on_the_generator():
    lengths, generator = torch.ones(64), torch.Generator().manual_seed(0)
    first, second = (batches_of_like_length(lengths, 8, generator) for _ in range(2))
    assert [rows.tolist() for rows in first] != [rows.tolist() for rows in second]
