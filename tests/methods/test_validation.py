"""Training rows of methods that rank."""

import logging

import pytest
from support import shelf

from reckon.methods.validation import reachable


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """Readers go round three books, so every history of three books or more holds its target."""
    return shelf.dataset(tmp_path_factory.mktemp("shelf") / "data", step=4).examples("train", 2)


def test_repeats_are_rows_whose_whole_history_holds_the_target(examples):
    assert examples.repeats.tolist() == [
        int(target) in examples.seen(row).tolist() for row, target in enumerate(examples.targets)
    ]
    assert 0 < examples.repeats.sum() < len(examples)


def test_rows_with_an_excluded_target_are_left_out_and_counted(examples, caplog):
    with caplog.at_level(logging.WARNING):
        kept = reachable(examples, exclude_seen=True)
    assert len(kept) == len(examples) - examples.repeats.sum() and not kept.repeats.any()
    assert f"{examples.repeats.sum():,} of {len(examples):,} training rows" in caplog.text
    assert "exclude_seen=false" in caplog.text


def test_where_repeats_are_allowed_every_row_is_kept(examples):
    assert len(reachable(examples, exclude_seen=False)) == len(examples)
