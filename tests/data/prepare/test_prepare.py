import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reckon.data import Dataset
from reckon.data.describe import describe
from reckon.data.prepare.filters import Filters
from reckon.data.prepare.prepare import prepare
from reckon.data.scale import Scale
from reckon.data.sources.table import Table
from reckon.errors import ConfigError, DataError


def test_the_same_input_gives_the_same_bytes(shop, many, tmp_path):
    written = []
    for events in (many, list(reversed(many))):
        shop(events, overwrite=True)
        written.append({path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.parquet")})
    assert written[0] == written[1]


def test_every_removed_row_is_accounted_for(shop, many):
    titles = {item: item for _, item, _ in many if item != "i8"}
    dataset = shop([*many, many[0], ("lonely", "i0", 3)], titles, unknown_items="drop", k_core=2)
    counts = dataset.info["counts"]
    assert [count["step"] for count in counts] == ["read", "unknown items", "de-duplication", "k-core"]
    removed = sum(count.get("removed_interactions", 0) for count in counts)
    assert counts[0]["interactions"] - removed == counts[-1]["interactions"] == len(dataset.events.item_index)
    assert counts[-1]["items"] == len(dataset.catalog) and counts[-1]["users"] == len(dataset.user_ids)


def test_too_little_data_for_the_split_fails_before_anything_is_in_place(shop, tmp_path):
    with pytest.raises(DataError, match="split leaves no"):
        shop([("u", "a", 1), ("u", "b", 2)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.csv"]


def test_an_interruption_leaves_nothing(shop, many, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("reckon.data.prepare.prepare.write_dataset", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop(many)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.csv"]


def test_an_occupied_target_is_refused_before_any_work(shop, many, tmp_path, monkeypatch):
    shop(many)
    monkeypatch.setattr(Table, "load", lambda *_: pytest.fail("it read the input first"))
    with pytest.raises(DataError, match="not empty"):
        shop(many)


def test_given_rows_are_for_the_rows_source_only(shop, many):
    with pytest.raises(ConfigError, match="has no given rows"):
        shop(many, split="given")


def test_a_wrong_memory_size_is_one_line(shop, many):
    with pytest.raises(DataError, match=r"memory 'plenty'.*such as 2GB"):
        shop(many, memory="plenty")


@pytest.mark.slow
def test_more_data_than_memory_spills_to_disk(tmp_path):
    rng, size = np.random.default_rng(0), 60_000
    pq.write_table(
        pa.table(
            {
                "user_id": rng.integers(0, 6000, size),
                "item_id": rng.integers(0, 500, size),
                "timestamp": 1_500_000_000 + rng.permutation(size),
                "review": [rng.bytes(1000).hex() for _ in range(size)],  # 120 MB that do not compress
            }
        ),
        tmp_path / "events.parquet",
        row_group_size=2000,
    )
    source = Table(interactions=str(tmp_path / "events.parquet"))
    out = prepare(source, tmp_path / "out", memory="160MB", filters=Filters(k_core=5, dedupe="first"))
    dataset = Dataset.load(out)
    assert len(dataset.events.item_index) > 50_000
    assert all(np.diff(dataset.events.time)[np.diff(dataset.user_index) == 0] > 0)


def test_a_description_names_counts_splits_filters_and_an_example(shop, many):
    text = describe(shop(many, {item: f"Title of {item}" for _, item, _ in many}, k_core=2).path)
    for part in (
        "users             10",
        "items             9",
        "interactions      60; per user 6 to 6",
        "temporal",
        "  train           ",
        "k-core            10 users",
        "1997-05-19 to 1997-06-02",
        "Title of i",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("ratings", "scale", "shares"),
    [
        ([1, 2, 2, 5], None, "1 to 5\n  distribution    1 25.0%, 2 50.0%, 3 0.0%, 4 0.0%, 5 25.0%"),
        ([0, 1, 9.95, 10], Scale(0, 10), "0 to 10\n  distribution    0-1 25.0%, 1-2 25.0%, 2-3 0.0%"),
    ],
)
def test_a_description_shows_the_scale_and_how_ratings_are_spread(tmp_path, csv_file, ratings, scale, shares):
    rows = [("u", n, 1_500_000_000 + n, ratings[n % 4]) for n in range(12)]
    path = csv_file("events.csv", ("user_id", "item_id", "timestamp", "rating"), rows)
    out = prepare(Table(interactions=str(path), scale=scale), tmp_path / "out")
    assert f"  scale           {shares}" in describe(out)


def test_an_interruption_inside_duckdb_is_one(shop, many, tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("reckon.data.prepare.workspace.clean_array", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop(many)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.csv"]


def test_a_bug_in_cleaning_is_not_blamed_on_the_file(shop, many, monkeypatch):
    def broken(_):
        raise ValueError("a bug")

    monkeypatch.setattr("reckon.data.prepare.workspace.clean_array", broken)
    with pytest.raises(Exception, match="a bug") as caught:
        shop(many)
    assert not isinstance(caught.value, DataError)


def test_relabelled_items_keep_their_events_and_their_titles(shop, many):
    titles = {item: "" if item == "i3" else f"Title {item}" for _, item, _ in many}

    def told(dataset):
        names = dict(zip(dataset.catalog.ids, dataset.catalog.titles, strict=True))
        events = pq.read_table(dataset.path / "interactions.parquet")
        return [
            (user, names[item] if names[item].startswith("Title") else "", time)
            for user, item, time in zip(*(events[name].to_pylist() for name in events.column_names), strict=True)
        ]

    plain = told(shop(many, titles))
    relabelled = shop(many, titles, relabel=7, overwrite=True)
    assert sorted(told(relabelled)) == sorted(plain)
    assert sorted(relabelled.catalog.ids) == [str(n) for n in range(1, len(titles) + 1)]
    untitled = [title for title in relabelled.catalog.titles if not title.startswith("Title")]
    assert len(untitled) == 1 and untitled[0] in relabelled.catalog.ids  # called by its number
    by_title = sorted(zip(relabelled.catalog.titles, relabelled.catalog.ids, strict=True))
    assert [item for _, item in by_title] != sorted(item for _, item in by_title)
    assert relabelled.info["counts"][-1]["rule"] == "item ids were replaced by random numbers (seed 7)"
    assert shop(many, titles, relabel=8, overwrite=True).checksum != relabelled.checksum
