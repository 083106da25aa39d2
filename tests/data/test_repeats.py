"""Repeat interactions: their share, and what `exclude_seen: auto` makes of it."""

import logging

import pyarrow as pa
import pytest

from reckon.data import Dataset
from reckon.data.describe import describe
from reckon.data.prepare.write import write_dataset
from reckon.data.repeats import repeat_share, settled

DAY = 86_400
ITEMS = [f"b{n}" for n in range(12)]


def write(path, repeats):
    """30 users of 9 items; in `repeats` of them each item is taken again at once."""
    events = []
    for user in range(30):
        taken = [ITEMS[(user + n // 2) % 12 if user < repeats else (user + n) % 12] for n in range(9)]
        events += [(f"u{user:02d}", item, (user + n) * DAY) for n, item in enumerate(taken)]
    columns = zip(("user_id", "item_id", "timestamp"), zip(*events, strict=True), strict=True)
    write_dataset(
        path,
        pa.table({"item_id": ITEMS, "title": [f"Book {n}" for n in range(12)]}),
        pa.table({name: list(values) for name, values in columns}),
        source={"name": "shop"},
        split="leave-one-out",
        words={"item": "book", "items": "books", "action": "read"},
        tie_rule="none",
    )
    return Dataset.load(path)


@pytest.fixture
def shop(tmp_path):
    return write(tmp_path / "data", repeats=30)


def test_the_share_of_repeats_is_that_of_rows_whose_target_is_in_their_history(shop):
    training = shop.examples("train")
    by_hand = [example.target in [event.item_index for event in example.history] for example in training]
    assert repeat_share(training) == pytest.approx(sum(by_hand) / len(by_hand))
    assert repeat_share(training) > 0.4


def test_auto_allows_repeats_where_they_are_common_and_says_so(shop, caplog):
    with caplog.at_level(logging.WARNING):
        assert settled("auto", shop) is False
    assert "exclude_seen is set to false" in caplog.text


def test_auto_excludes_where_nobody_repeats(tmp_path, caplog):
    assert settled("auto", write(tmp_path / "data", repeats=0)) is True
    assert not caplog.text


@pytest.mark.parametrize("choice", [True, False])
def test_a_decision_of_the_user_stands(shop, choice):
    assert settled(choice, shop) is choice


def test_the_description_names_the_setting_where_repeats_are_common(shop, tmp_path):
    assert "exclude_seen=true" in describe(shop.path)
    assert "exclude_seen" not in describe(write(tmp_path / "none", repeats=0).path)
