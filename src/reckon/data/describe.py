"""Describe a dataset directory in text: counts, splits, lengths, what the filters did, one example.

Entry point: `describe`.
"""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reckon.data.dataset import DEFAULT_WINDOW, Dataset
from reckon.data.examples import Example
from reckon.data.ratings import rating_scale
from reckon.data.repeats import RARE, repeat_share
from reckon.data.splits import SPLITS
from reckon.errors import DataError

WIDTH = 100  # characters of a text shown in an example
SHOWN_EVENTS = 5
MOST_VALUES = 21  # values of a scale shown one by one
REPEATS = (
    "with exclude_seen=true targets that repeat can never be hit; auto, the default, allows repeats "
    "(head.exclude_seen of r2ec, rechead.exclude_seen of rporec)"
)
LABEL = 18  # characters of the left column


def describe(path: str | Path, window: int = DEFAULT_WINDOW) -> str:
    """A readable summary of a dataset directory.

    Args:
        path: the directory.
        window: events that a history holds at most.

    Raises:
        DataError: the directory cannot be read.
    """
    dataset = Dataset.load(path)
    sections = [
        _head(dataset),
        _splits(dataset, window),
        _items(dataset),
        _steps(dataset.info.get("counts", [])),
        [_line("note", note) for note in dataset.info.get("notes", [])],
        _example(dataset, window),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def _head(dataset: Dataset) -> list[str]:
    info, events = dataset.info, dataset.events
    lengths = np.bincount(dataset.user_index, minlength=len(dataset.user_ids))
    lines = [
        _line("data set", f"{dataset.path} (source {info['source'].get('name', 'unknown')})"),
        _line("users", f"{len(dataset.user_ids):,}"),
        _line("items", f"{len(dataset.catalog):,}, {len(np.unique(events.item_index)):,} of them in interactions"),
        _line("interactions", f"{len(events.item_index):,}; per user {_spread(lengths)}"),
    ]
    if events.time is not None:
        lines.append(_line("time", f"{_day(events.time.min())} to {_day(events.time.max())}{_ties(dataset)}"))
    else:
        lines.append(_line("time", "order only"))
    if events.rating is not None:
        known = events.rating[~np.isnan(events.rating)]
        values = f"{known.min():g} to {known.max():g}, mean {known.mean():.3f}" if len(known) else "none"
        lines.append(_line("ratings", f"{values}; {len(events.rating) - len(known):,} missing"))
        lines += _rating_lines(dataset) if len(known) else []
        if len(known) and known.min() == known.max():
            lines.append(_line("", f"every rating is {known.min():g}: there is nothing to predict, only to rank"))
    lines.append(_line("tie rule", info.get("tie_rule", "not stated")))
    lines.append(_line("checksum", str(info.get("checksum"))[:16]))
    return lines


def _ties(dataset: Dataset) -> str:
    """How many events share their time with another of the same user, whose order the tie rule decides."""
    times, users = dataset.events.time, dataset.user_index
    assert times is not None
    same = (times[1:] == times[:-1]) & (users[1:] == users[:-1])
    tied = np.r_[same, False] | np.r_[False, same]
    return f"; {tied.mean():.1%} of events tie with another of their user (tie rule below)" if tied.any() else ""


def _rating_lines(dataset: Dataset) -> list[str]:
    """The scale, and the share of ratings at each of its values (in tenths of the scale where it has no or many)."""
    scale, ratings = rating_scale(dataset), dataset.rating_log.rating
    values = scale.values()
    if scale.step is None or len(values) > MOST_VALUES:
        counts, edges = np.histogram(ratings, bins=10, range=(scale.lowest, scale.highest))
        names = [f"{low:g}-{high:g}" for low, high in pairwise(edges)]
    else:
        steps = np.rint((ratings - scale.lowest) / scale.step).astype(np.int64)
        counts, names = np.bincount(steps, minlength=len(values)), [f"{value:g}" for value in values]
    shares = ", ".join(f"{name} {share:.1%}" for name, share in zip(names, counts / len(ratings), strict=True))
    return [_line("  scale", str(scale)), _line("  distribution", shares)]


def _splits(dataset: Dataset, window: int) -> list[str]:
    lines, common = [_line("split", dataset.protocol)], False
    for split in SPLITS:
        try:
            examples = dataset.examples(split, window)
        except DataError as error:
            lines.append(_line(f"  {split}", error.problem))
            continue
        lengths = examples.end - examples.start
        repeats = repeat_share(examples)
        text = f"{len(examples):,} examples; history {_spread(lengths)}; {repeats:.1%} of targets repeat their history"
        if split != "train":
            text += f", {np.mean(dataset.train_counts[examples.targets] == 0):.1%} never occur in training"
        if examples.times is not None and len(examples):
            text += f"; {_day(examples.times.min())} to {_day(examples.times.max())}"
        lines.append(_line(f"  {split}", text))
        common = common or repeats > RARE
    return [*lines, _line("", REPEATS)] if common else lines


def _items(dataset: Dataset) -> list[str]:
    """Coverage and length of every item column."""
    table, lines = dataset.catalog.table, []
    for name in table.column_names:
        if name == "item_id":
            continue
        column = table[name]
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            present, unit = pc.greater(pc.list_value_length(column), 0), "values"
            sizes = pc.list_value_length(column)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            present, unit = pc.not_equal(column, ""), "characters"
            sizes = pc.utf8_length(column)
        else:
            present, unit = pc.is_valid(column), ""
            sizes = None
        count = pc.sum(present).as_py() or 0
        text = f"{count:,} of {table.num_rows:,}"
        if sizes is not None and count:
            text += f"; {unit} {_spread(sizes.filter(present.fill_null(False)).to_numpy())}"
        if name == "title":
            text += _shared_titles(column.to_pylist())
        lines.append(_line(f"item {name}", text))
    return lines


def _shared_titles(titles: list[str | None]) -> str:
    """How many titles are distinct, where several items have the same one: prompts cannot tell these apart."""
    known = [title for title in titles if title]
    distinct = len(set(known))
    if distinct == len(known):
        return ""
    return f"; {distinct:,} distinct of {len(known):,}: prompts and reasoning cannot tell items of one title apart"


def _steps(counts: list[dict[str, Any]]) -> list[str]:
    lines = []
    for count in counts:
        left = f"{count['users']:,} users, {count['items']:,} items, {count['interactions']:,} interactions"
        removed = count.get("removed_interactions")
        gone = f" (-{removed:,})" if removed else ""
        lines.append(_line(str(count["step"]), f"{left}{gone}: {count['rule']}"))
    return lines


def _example(dataset: Dataset, window: int) -> list[str]:
    for split in ("test", "valid", "train"):
        try:
            examples = dataset.examples(split, window)
        except DataError:
            continue
        if len(examples):
            return _show(dataset, split, examples[len(examples) // 2])
    return []


def _show(dataset: Dataset, split: str, example: Example) -> list[str]:
    titles = dataset.catalog.titles

    def name(index: int) -> str:
        return _short(titles[index] or f"item {dataset.catalog.ids[index]}")

    lines = [_line("example", f"{split}, user {example.user_id}")]
    hidden = len(example.history) - SHOWN_EVENTS
    if hidden > 0:
        lines.append(_line("", f"… {hidden} earlier events"))
    for event in example.history[-SHOWN_EVENTS:]:
        when = "" if event.time is None else f"{datetime.fromtimestamp(event.time, UTC):%Y-%m-%d %H:%M}  "
        rating = "" if event.rating is None else f" ({event.rating:g})"
        lines.append(_line("", f"{when}{name(event.item_index)}{rating}"))
    lines.append(_line("  target", name(example.target)))
    return lines


def _spread(values: np.ndarray) -> str:
    if not len(values):
        return "none"
    return f"{values.min():,} to {values.max():,}, median {np.median(values):g}, mean {values.mean():.1f}"


def _day(time: int) -> str:
    return f"{datetime.fromtimestamp(int(time), UTC):%Y-%m-%d}"


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _line(label: str, text: str) -> str:
    return f"{label:<{LABEL}}{text}"
