"""`describe` says what makes a data set harder than it looks: shared titles, constant ratings, ties in time."""

import pyarrow as pa
import pytest

from reckon.data.describe import describe
from reckon.data.prepare.write import write_dataset


def shop(path, *, titles, ratings=None, step=10):
    """Four users take the same six items one after the other; `step` is the number of seconds between two events."""
    ids = [f"i{number}" for number in range(6)]
    events = [(f"u{user}", item, 1_700_000_000 + number * step) for user in range(4) for number, item in enumerate(ids)]
    columns = dict(zip(("user_id", "item_id", "timestamp"), map(list, zip(*events, strict=True)), strict=True))
    if ratings is not None:
        columns["rating"] = pa.array([ratings[number % len(ratings)] for number in range(len(events))], pa.float32())
    write_dataset(
        path,
        pa.table({"item_id": ids, "title": titles}),
        pa.table(columns),
        source={"name": "shop"},
        split="leave-one-out",
        words={"item": "item", "items": "items", "action": "bought"},
        tie_rule="none",
    )
    return path


DISTINCT = [f"Card {number}" for number in range(6)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"titles": ["Card"] * 3 + ["Cup", "", "Lamp"]}, "3 distinct of 5: prompts and reasoning cannot tell"),
        ({"titles": DISTINCT, "ratings": [4.0]}, "every rating is 4: there is nothing to predict"),
        ({"titles": DISTINCT, "step": 0}, "100.0% of events tie with another of their user"),
    ],
    ids=["titles", "ratings", "ties"],
)
def test_what_is_hard_about_the_data_is_said_and_only_then(tmp_path, changes, said):
    assert said in describe(shop(tmp_path / "hard", **changes))
    assert said.partition(" ")[2] not in describe(shop(tmp_path / "plain", titles=DISTINCT, ratings=[4.0, 5.0]))
