import pytest

from reckon.data import Dataset
from reckon.data.prepare.filters import Filters
from reckon.data.prepare.prepare import prepare
from reckon.data.sources.table import Table
from reckon.errors import ConfigError, DataError


def step(dataset, name):
    return next(count for count in dataset.info["counts"] if count["step"] == name)


def pairs(dataset):
    return {
        (dataset.user_ids[user], dataset.catalog.ids[item])
        for user, item in zip(dataset.user_index, dataset.events.item_index, strict=True)
    }


def test_k_core_by_hand(shop, many):
    # u-weak has two events; without them i-weak has one left, and u-tail then only one.
    weak = [("u-weak", "i-weak", 1), ("u-weak", "i0", 2), ("u-tail", "i-weak", 3), ("u-tail", "i1", 4)]
    dataset = shop(many + weak, k_core=3, k_core_on="all")
    assert pairs(dataset) == {(user, item) for user, item, _ in many}
    record = step(dataset, "k-core")
    assert (record["removed_interactions"], record["removed_users"], record["removed_items"]) == (4, 2, 1)


@pytest.mark.parametrize("on", [None, "train"])
def test_k_core_of_a_temporal_split_counts_the_training_period_alone(shop, many, on):
    # i-late is taken once in training and often in the test period; i-new only then; i-rare once in training.
    early = [("u0", "i-late", 1), ("u2", "i-rare", 1)]
    late = [(f"u{user}", item, 100 + user) for user in range(4) for item in ("i-late", "i-new")]
    dataset = shop(many + early + late, k_core=2, k_core_on=on)
    assert not {"i-late", "i-rare"} & set(dataset.catalog.ids) and "i-new" in dataset.catalog.ids
    record = step(dataset, "k-core")
    assert record["counted"] == "train" and "training period (before 1997-" in record["rule"]
    counted = shop(many + early + late, k_core=2, k_core_on="all", overwrite=True)
    assert "i-late" in counted.catalog.ids and step(counted, "k-core")["counted"] == "all"


def test_k_core_never_counts_an_event_after_the_training_period(shop):
    events = [(f"u{user}", f"i{(user * step) % 17}", user + step * step) for user in range(30) for step in range(8)]
    dataset = shop(events, k_core=4)
    training = dataset.examples("valid").times.min()
    assert step(dataset, "k-core")["counted_before"] <= training


def test_k_core_on_train_needs_a_temporal_split(shop, many):
    with pytest.raises(ConfigError, match="needs a temporal split"):
        shop(many, k_core=2, k_core_on="train", split="leave-one-out")
    assert step(shop(many, k_core=2, split="leave-one-out"), "k-core")["counted"] == "all"


def test_k_core_one_drops_only_items_that_nobody_took(shop, many):
    titles = {item: item for _, item, _ in many} | {"unsold": "Unsold"}
    assert "unsold" in shop(many, titles).catalog.ids
    assert "unsold" not in shop(many, titles, k_core=1, overwrite=True).catalog.ids


def test_time_window_is_half_open(shop, many):
    dataset = shop(many, since="1997-05-20", until="1997-05-30")  # day 10,001 to 10,010 are 1997-05-20 to 1997-05-29
    days = dataset.events.time // 86_400 - 10_000
    assert (days.min(), days.max()) == (1, 10)


def test_minimum_title_counts_characters_after_cleaning(shop, many):
    titles = {item: "A good title" for _, item, _ in many} | {"i3": "<b> ab </b>"}
    dataset = shop(many, titles, min_title=3)
    assert "i3" not in dataset.catalog.ids
    assert step(dataset, "minimum title")["removed_items"] == 1


def test_exact_repeats_go_and_repeat_purchases_stay(shop, many):
    again = [*many, many[0], ("u0", "i0", 30)]
    assert step(shop(again), "de-duplication")["removed_interactions"] == 1


@pytest.mark.parametrize(("how", "day"), [("first", 0), ("last", 30)])
def test_first_and_last_keep_one_event_of_a_user_and_item(shop, many, how, day):
    dataset = shop([*many, ("u0", "i0", 30)], dedupe=how)
    index = dataset.catalog.index("i0")
    mine = (dataset.user_ids[dataset.user_index] == "u0") & (dataset.events.item_index == index)
    assert (dataset.events.time[mine] // 86_400 - 10_000).tolist() == [day]


@pytest.mark.parametrize(
    ("how", "kept"),
    [("exact", [2.0, 4.0]), ("first", [2.0]), ("last", [4.0]), ("mean", [3.0])],
)
def test_an_item_rated_twice_keeps_what_was_asked_for(csv_file, tmp_path, how, kept):
    """And a note says so where both ratings stay."""
    rows = [(f"u{user}", f"i{item}", item, 5) for user in range(4) for item in range(6)]
    rows += [("u0", "again", 10, 2), ("u0", "again", 11, 4)]
    path = csv_file("r.csv", ("user_id", "item_id", "position", "rating"), rows)
    source = Table(interactions=str(path))
    prepare(source, tmp_path / "out", split="leave-one-out", filters=Filters(dedupe=how))
    dataset = Dataset.load(tmp_path / "out")
    mine = dataset.events.item_index == dataset.catalog.index("again")
    assert dataset.events.rating[mine].tolist() == kept
    noted = [note for note in dataset.info["notes"] if "have several ratings" in note]
    assert bool(noted) == (how == "exact") and all("1 pairs" in note and "--dedupe last" in note for note in noted)


def test_a_mean_of_ratings_needs_ratings(shop, many):
    with pytest.raises(DataError, match="no ratings to average"):
        shop(many, dedupe="mean")


def test_an_empty_result_names_the_filter(shop, many, tmp_path):
    with pytest.raises(DataError, match="filter k-core: leaves nothing of 60 interactions"):
        shop(many, k_core=1000)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"since": "yesterday"}, "since.*not a date"),
        ({"since": "2020-01-02", "until": "2020-01-01"}, "swap"),
        ({"k_core": -1}, "negative"),
        ({"k_core_on": "test"}, "train, all"),
        ({"dedupe": "some"}, "unknown"),
    ],
)
def test_wrong_filters_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Filters(**settings)


def test_unknown_items_are_refused_dropped_or_added(shop, many):
    titles = {item: item for _, item, _ in many if item != "i8"}
    with pytest.raises(DataError, match=r"interactions\.csv, row \d+: item_id 'i8' is not among the items"):
        shop(many, titles)
    dropped = shop(many, titles, unknown_items="drop")
    assert "i8" not in dropped.catalog.ids
    assert step(dropped, "unknown items")["removed_interactions"] == sum(item == "i8" for _, item, _ in many)
    added = shop(many, titles, unknown_items="add", overwrite=True)
    assert added.catalog.titles[added.catalog.index("i8")] == ""
