"""What one check says, and the checks that do not depend on the task.

Entry points: `Finding`; `training_before_test` and `id_order` look at the data, `training_findings` at what a training
logged. Those of one task are in `reckon.evaluation.guards.ranking` and `reckon.evaluation.guards.rating`.
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
PROBED_ROWS = 64  # asked again with other targets, and whose prompts are read
CONSTANT_SHARE = 0.9  # of rows or places from which the output is the same for everybody
SILENT_SHARE = 0.5  # of groups without advantage, of replies cut off or unreadable
ORDER = 0.3  # absolute rank correlation from which ids tell when an item first appeared
ROUNDING = 1e-9
DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says."""

    check: str
    level: Level
    text: str

    def to_dict(self) -> dict[str, str]:
        """As `cell.json` and `metrics.json` hold it."""
        return {"check": self.check, "level": self.level, "text": self.text}


def training_before_test(dataset: Dataset, tested: IntArray | None) -> Finding:
    """Whether training events are younger than the first of the targets' times [U]."""
    check, time = "training events after test targets", dataset.events.time
    if time is None or tested is None:
        return Finding(check, "note", "cannot be seen: the rows have no times")
    share = float((time[dataset.is_training_event] > tested.min()).mean())
    if share == 0:
        return Finding(check, "ok", "training ends before the first test target")
    text = f"{share:.1%} of the training events are younger than the first test target"
    usual = dataset.protocol == "leave-one-out"
    return Finding(check, "note" if usual else "warning", text + (", as leave-one-out has it" if usual else ""))


def row_order(dataset: Dataset) -> Finding:
    """Whether the order of the catalog tells when an item first appeared."""
    return _order("order of the catalog", np.arange(len(dataset.catalog)), dataset, "ties between scores would tell")


def id_order(dataset: Dataset) -> Finding:
    """Whether the ids' natural order tells when an item first appeared."""
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
        return Finding(check, "note", "cannot be held against time: the data set has none")
    first = np.full(len(dataset.catalog), np.iinfo(np.int64).max)
    np.minimum.at(first, events.item_index, events.time)
    known = first < np.iinfo(np.int64).max
    if known.sum() < 3 or len(np.unique(first[known])) < 2:
        return Finding(check, "note", "too few items to say")
    rho = float(spearmanr(places[known], first[known]).statistic)
    text = f"rank correlation with first appearance {rho:+.2f}"
    return Finding(check, "warning" if abs(rho) >= ORDER else "ok", f"{text}: {why}" if abs(rho) >= ORDER else text)


def training_findings(log: Sequence[Mapping[str, float]], replies: tuple[BoolArray, BoolArray] | None) -> list[Finding]:
    """Runs that learned nothing: from the log, and from which replies were truncated and which parsed, if any."""
    silent = [entry["advantage/zero_groups"] for entry in log if "advantage/zero_groups" in entry]
    late = silent[len(silent) // 2 :]
    shares = [("groups without advantage", float(np.mean(late)), "of the later groups taught nothing")] if late else []
    if replies is not None:
        truncated, parsed = replies
        shares.append(("truncated replies", float(truncated.mean()), "of the replies ran out of budget"))
        shares.append(("unreadable replies", float(1 - parsed.mean()), "of the replies do not parse"))
    return [Finding(check, "warning", f"{share:.0%} {what}") for check, share, what in shares if share > SILENT_SHARE]
