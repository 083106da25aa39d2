"""Findings of checks, and the checks that both tasks share.

Entry points: `Finding`; `training_before_test` and `id_order` check the data, `training_findings` checks a training
log. The checks of one task are in `reckon.evaluation.guards.ranking` and `reckon.evaluation.guards.rating`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reckon.data import Dataset
from reckon.data.examples import IntArray

BoolArray = npt.NDArray[np.bool_]
Level = Literal["ok", "note", "warning"]
PROBED_ROWS = 64  # rows that are ranked or rated again with other targets, and whose prompts are checked
CONSTANT_SHARE = 0.9  # share of rows or list places from which an output counts as constant
SILENT_SHARE = 0.5  # share of groups without advantage, or of truncated or unreadable replies, that gives a warning
ORDER = 0.3  # absolute rank correlation of an item order with first appearance that gives a warning
ROUNDING = 1e-9
DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check."""

    check: str
    level: Level
    text: str

    def to_dict(self) -> dict[str, str]:
        """The finding as an entry of `cell.json` and `metrics.json`."""
        return {"check": self.check, "level": self.level, "text": self.text}


def training_before_test(dataset: Dataset, tested: IntArray | None) -> Finding:
    """Check whether training events are later than the first of the targets' times [U]."""
    check, time = "training events after test targets", dataset.events.time
    if time is None or tested is None:
        return Finding(check, "note", "cannot be checked: the rows have no times")
    share = float((time[dataset.is_training_event] > tested.min()).mean())
    if share == 0:
        return Finding(check, "ok", "training ends before the first test target")
    text = f"{share:.1%} of the training events are later than the first test target"
    usual = dataset.protocol == "leave-one-out"
    return Finding(check, "note" if usual else "warning", text + (", as leave-one-out has it" if usual else ""))


def row_order(dataset: Dataset) -> Finding:
    """Check whether the order of the catalog correlates with the items' first appearance."""
    return _order("order of the catalog", np.arange(len(dataset.catalog)), dataset, "ties between scores would tell")


def id_order(dataset: Dataset) -> Finding:
    """Check whether the natural order of the item ids correlates with the items' first appearance."""
    ids = dataset.catalog.ids
    natural = sorted(range(len(ids)), key=lambda item: [_part(part) for part in DIGITS.split(ids[item])])
    places = np.empty(len(ids), dtype=np.int64)
    places[natural] = np.arange(len(ids))
    return _order("order of the item ids", places, dataset, "a method that reads ids could use it")


def _part(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdigit() and text.isascii() else (1, 0, text)


def _order(check: str, places: IntArray, dataset: Dataset, why: str) -> Finding:
    """Rank correlation of an order of the items with their first appearance."""
    from scipy.stats import spearmanr

    events = dataset.events
    if events.time is None:
        return Finding(check, "note", "cannot be checked: the data set has no times")
    first = np.full(len(dataset.catalog), np.iinfo(np.int64).max)
    np.minimum.at(first, events.item_index, events.time)
    known = first < np.iinfo(np.int64).max
    if known.sum() < 3 or len(np.unique(first[known])) < 2:
        return Finding(check, "note", "too few items to say")
    rho = float(spearmanr(places[known], first[known]).statistic)
    text = f"rank correlation with first appearance {rho:+.2f}"
    return Finding(check, "warning" if abs(rho) >= ORDER else "ok", f"{text}: {why}" if abs(rho) >= ORDER else text)


def training_findings(log: Sequence[Mapping[str, float]], replies: tuple[BoolArray, BoolArray] | None) -> list[Finding]:
    """Check whether a run learned something, from its log and from the shares of truncated and of parsed replies, if
    any."""
    silent = [entry["advantage/zero_groups"] for entry in log if "advantage/zero_groups" in entry]
    late = silent[len(silent) // 2 :]
    shares = [("groups without advantage", float(np.mean(late)), "of the later groups taught nothing")] if late else []
    if replies is not None:
        truncated, parsed = replies
        shares.append(("truncated replies", float(truncated.mean()), "of the replies ran out of budget"))
        shares.append(("unreadable replies", float(1 - parsed.mean()), "of the replies do not parse"))
    return [Finding(check, "warning", f"{share:.0%} {what}") for check, share, what in shares if share > SILENT_SHARE]
