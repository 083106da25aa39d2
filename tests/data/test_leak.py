"""No example may show its target: laws that hold for every source and every split."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from support.rating_laws import Laws

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.ratings import rating_examples, training_ratings
from reckon.data.sources.movielens import MovieLens
from reckon.data.sources.rows import Rows
from reckon.data.sources.table import Table
from reckon.prompts.r2ec import messages
from reckon.simulation.bookshop import write_bookshop
from reckon.simulation.rated_bookshop import write_rated_bookshop

SAMPLE = 300  # examples of each split


def bookshop(real_data, out):
    return write_bookshop(out, notes=50)


def rated_bookshop(real_data, out):
    return write_rated_bookshop(out, readers=100)


def movielens(real_data, out):
    return prepare(MovieLens(real_data("movielens-small")), out)


def movielens_last(real_data, out):
    return prepare(MovieLens(real_data("movielens-small")), out, split="leave-one-out")


def industrial(real_data, out):
    return prepare(Rows(real_data("amazon-industrial")), out)


def instruments(real_data, out):
    path = str(real_data("amazon-instruments") / "sequences.parquet")
    return prepare(Table(interactions=path, columns={"item_id": "item_ids"}), out, split="leave-one-out")


def reviews(real_data, out, name, **settings):
    folder = real_data("amazon-reviews")
    return prepare(
        Table(
            interactions=str(folder / f"{name}-reviews.parquet"),
            columns={"review": "text"},
            items=str(folder / f"{name}-items.parquet"),
        ),
        out,
        **settings,
    )


def music(real_data, out):
    return reviews(real_data, out, "digital-music")


def magazines(real_data, out):
    return reviews(real_data, out, "magazines", unknown_items="add")


SOURCES = (bookshop, rated_bookshop, movielens, movielens_last, industrial, instruments, music, magazines)


@pytest.fixture(scope="module", params=SOURCES, ids=lambda source: source.__name__)
def dataset(request, tmp_path_factory, real_data):
    out = tmp_path_factory.mktemp("leak") / "out"
    return Dataset.load(request.param(real_data, out))


def written_events(dataset):
    """Every user's (item, time) in order, from the file itself."""
    table = pq.read_table(dataset.path / "interactions.parquet")
    times = table["timestamp"].to_pylist() if "timestamp" in table.column_names else [None] * table.num_rows
    events = {}
    for user, item, time in zip(table["user_id"].to_pylist(), table["item_id"].to_pylist(), times, strict=True):
        events.setdefault(user, []).append((item, time))
    return events


def test_a_history_is_what_came_right_before_its_target(dataset):
    events = written_events(dataset)
    ids = dataset.catalog.ids
    for split in ("train", "valid", "test"):
        if dataset.rows is not None and split != "train":
            continue
        for example in dataset.examples(split).sample(SAMPLE, seed=0):
            history = [(ids[event.item_index], event.time) for event in example.history]
            mine = events[example.user_id]
            target = (ids[example.target], example.time)
            ends = [end for end in range(1, len(mine)) if mine[end] == target]
            assert any(mine[max(0, end - 20) : end] == history for end in ends)
            if example.time is not None:
                assert max(event.time for event in example.history) <= example.time


def test_a_rating_example_shows_only_what_is_strictly_older(dataset):
    if dataset.events.rating is None:
        pytest.skip("this source has no ratings")
    laws = Laws(dataset)
    for split in ("train", "valid", "test") if dataset.rows is None else ("train",):
        examples = rating_examples(dataset, split)
        assert len(examples) + examples.skipped == len(dataset.examples(split))
        for example in examples.sample(SAMPLE, seed=0):
            laws.check(example, window=10, item_window=10)


def test_training_ratings_are_older_than_every_held_out_target(dataset):
    if dataset.events.rating is None or dataset.protocol != "temporal":
        pytest.skip("no ratings, or not split by time")
    assert training_ratings(dataset).time.max() < rating_examples(dataset, "valid").times.min()


def test_given_rows_train_on_none_of_their_targets(dataset):
    if dataset.rows is None:
        pytest.skip("this source has no given rows")
    training = {}
    for user, item in zip(dataset.user_ids[dataset.user_index], dataset.events.item_index, strict=True):
        training.setdefault(user, []).append(int(item))
    for split in ("valid", "test"):
        for example in dataset.examples(split, window=10_000).sample(SAMPLE, seed=0):
            history = [event.item_index for event in example.history]
            # All that is known of the user in training lies in the row's own past (cut at ten items by the publisher).
            assert set(training.get(example.user_id, [])) <= set(history) or len(history) >= 10


def test_splits_do_not_overlap_in_time(dataset):
    if dataset.protocol != "temporal":
        pytest.skip("not split by time")
    train, valid, test = (dataset.examples(split).times for split in ("train", "valid", "test"))
    assert train.max() < valid.min() <= valid.max() < test.min()


def test_training_counts_know_nothing_of_later_targets(dataset):
    if dataset.protocol == "given":
        assert dataset.train_counts.sum() == len(dataset.events.item_index)
    elif dataset.protocol == "temporal":
        assert dataset.train_counts.sum() == (dataset.events.time < dataset.examples("valid").times.min()).sum()
    else:
        held_out = sum(len(dataset.examples(split)) for split in ("valid", "test"))
        assert dataset.train_counts.sum() == len(dataset.events.item_index) - held_out


def test_item_order_tells_nothing_about_popularity_or_first_appearance(dataset):
    counts = np.bincount(dataset.events.item_index, minlength=len(dataset.catalog)).astype(float)
    first = np.full(len(dataset.catalog), len(dataset.events.item_index))
    np.minimum.at(first, dataset.events.item_index, np.arange(len(dataset.events.item_index)))
    index = np.arange(len(dataset.catalog))
    for told in (counts, first):
        assert abs(spearmanr(told, index).statistic) < 4 / np.sqrt(len(index))  # four standard errors of no relation


def test_a_prompt_does_not_depend_on_its_target(dataset):
    for split in ("train", "valid", "test"):
        for example in dataset.examples(split).sample(20, seed=1):
            other = replace(example, target=(example.target + 1) % len(dataset.catalog))
            titles, words = dataset.catalog.titles, dataset.words
            assert messages(example, titles, words) == messages(other, titles, words)
            if example.target not in [event.item_index for event in example.history] and titles[example.target]:
                same_title = any(titles[event.item_index] == titles[example.target] for event in example.history)
                assert same_title or f"[{titles[example.target]}]" not in str(messages(example, titles, words))
