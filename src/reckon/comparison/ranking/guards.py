"""What every comparison is checked for: leaks, numbers that cannot be, runs that learned nothing.

Entry points: `data_findings` once per comparison, `cell_findings` for each cell after its ranking, `refuse_impossible`
for every number before it is shown. A finding is shown in the tables; an impossible number is an error.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from reckon.comparison.config import ProtocolConfig
from reckon.comparison.protocol import Rows
from reckon.data import Dataset
from reckon.data.examples import IntArray
from reckon.errors import DataError
from reckon.metrics import RankingResult, hit_at, mrr, ndcg_at
from reckon.metrics.lists import exposure
from reckon.models.recommender import RankedExamples

if TYPE_CHECKING:
    from reckon.comparison.contestant import Contestant
    from reckon.comparison.ranking.contestants import Fitted

BoolArray = npt.NDArray[np.bool_]
Level = Literal["ok", "note", "warning"]
PROBED_ROWS = 64  # ranked again with other targets, and whose prompts are read
CONSTANT_SHARE = 0.9  # of all places, filled by as few items as one list has: the same list for everybody
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


# -- the data -------------------------------------------------------------------------------------------------------


def data_findings(dataset: Dataset, rows: Rows, protocol: ProtocolConfig) -> list[Finding]:
    """Leaks that the data itself can hold, whatever the method."""
    return [
        _future_events(rows),
        training_before_test(dataset, rows.examples.times),
        _targets_in_training(dataset, rows),
        _targets_in_history(rows, protocol),
        _row_order(dataset),
        id_order(dataset),
    ]


def _future_events(rows: Rows) -> Finding:
    """Whether any event of a history is younger than its target."""
    examples, check = rows.examples, "future events in histories"
    if examples.events.time is None or examples.times is None:
        return Finding(check, "note", "cannot be seen: the rows have no times")
    late = 0
    for row in range(len(examples)):
        times = examples.events.time[examples.first[row] : examples.end[row]]
        late += bool(len(times) and times.max() > examples.times[row])
    if late:
        return Finding(check, "warning", f"{late:,} of {len(examples):,} histories hold an event after their target")
    return Finding(check, "ok", f"none in {len(examples):,} histories")


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


def _targets_in_training(dataset: Dataset, rows: Rows) -> Finding:
    """Test targets that are training interactions of the same user, and no repeat of something in the history."""
    check, examples = "test targets in training", rows.examples
    training = dataset.is_training_event
    users = dataset.user_ids[dataset.user_index[training]]
    taken = set(zip(users.tolist(), dataset.events.item_index[training].tolist(), strict=True))
    leaked = sum(
        (str(user), int(target)) in taken and target not in examples.seen(row)
        for row, (user, target) in enumerate(zip(examples.user_ids, examples.targets, strict=True))
    )
    if leaked:
        return Finding(check, "warning", f"{leaked:,} of {len(examples):,} targets are training events of their user")
    return Finding(check, "ok", "none that the history does not show")


def _targets_in_history(rows: Rows, protocol: ProtocolConfig) -> Finding:
    check, examples = "targets taken before", rows.examples
    share = float(np.mean([target in examples.seen(row) for row, target in enumerate(examples.targets)]))
    if share == 0:
        return Finding(check, "ok", "none")
    text = f"{share:.1%} of the targets are in their history"
    if protocol.exclude_seen:
        return Finding(check, "warning", f"{text}, and exclude_seen makes each of them a miss")
    return Finding(check, "note", f"{text}: repeats count")


def _row_order(dataset: Dataset) -> Finding:
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


# -- a cell ---------------------------------------------------------------------------------------------------------


def cell_findings(
    method: "Contestant",
    fitted: "Fitted",
    rows: Rows,
    ranked: RankedExamples,
    dataset: Dataset,
    protocol: ProtocolConfig,
) -> list[Finding]:
    """Checks of one fitted method.

    Raises:
        DataError: lists that contradict the ranks, or that hold what the protocol left out.
    """
    _refuse_contradictions(rows, ranked, protocol)
    findings = [_targets_unread(fitted, rows)]
    if fitted.model is not None:
        findings.append(_target_in_prompt(fitted, rows))
    constant = shared_share(ranked.items, len(dataset.catalog))
    if constant >= CONSTANT_SHARE and not method.constant:
        text = f"as few items as one list has fill {constant:.0%} of all places"
        findings.append(Finding("constant output", "warning", text))
    replies = (ranked.truncated, ranked.parsed) if fitted.reasons else None
    return findings + training_findings(fitted.log, replies)


def shared_share(lists: IntArray, catalog_size: int) -> float:
    """Share of all places in the lists that the K most shown items fill, K the lists' width: 1 where all are alike."""
    shown = exposure(lists, catalog_size, lists.shape[1])
    width = min(lists.shape[1], catalog_size)
    if shown.sum() == 0 or catalog_size <= 3 * width:
        return 0.0  # in so small a catalog all lists look alike
    return float(np.sort(shown)[-width:].sum() / shown.sum())


def _refuse_contradictions(rows: Rows, ranked: RankedExamples, protocol: ProtocolConfig) -> None:
    examples, lists = rows.examples, ranked.items
    ordered = np.sort(lists, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)  # [U]
    if twice.any():
        raise DataError(f"list of row {int(twice.argmax())}", "names an item twice", "mend the method's top-k")
    found = (lists == examples.targets[:, None]).any(axis=1)
    lost = (ranked.ranks <= (lists >= 0).sum(axis=1)) & ~found & (rows.negatives is None)
    if lost.any():
        row = int(lost.argmax())
        problem = f"lacks its target, whose rank is {ranked.ranks[row]}"
        raise DataError(f"list of row {row}", problem, "mend the method's ranks")
    for row in range(len(lists)) if protocol.exclude_seen else ():
        if not set(examples.seen(row).tolist()).isdisjoint(lists[row].tolist()):
            raise DataError(f"list of row {row}", "holds an item of the history", "mend the method's masking")


def _targets_unread(fitted: "Fitted", rows: Rows) -> Finding:
    """Rank some rows again with each other's targets: the lists must stay as they are."""
    examples = rows.within(fitted.window).sample(PROBED_ROWS, 0)
    turned = replace(examples, targets=np.roll(examples.targets, 1))
    before, after = (fitted.ranker.ranks(asked, 10).items for asked in (examples, turned))
    changed = int((before != after).any(axis=1).sum())
    if changed:
        text = f"{changed} of {len(examples)} lists change with the target: the method reads it"
        return Finding("lists depend on the target", "warning", text)
    return Finding("lists depend on the target", "ok", f"none of {len(examples)}")


def _target_in_prompt(fitted: "Fitted", rows: Rows) -> Finding:
    """Titles of targets in the prompts of rows whose history does not hold them."""
    model, check = fitted.model, "target in prompt"
    assert model is not None
    examples = rows.within(fitted.window).sample(PROBED_ROWS, 0)
    found = 0
    for example in examples:
        title = model.titles[example.target].strip().lower()
        known = " | ".join(model.titles[event.item_index] for event in example.history).lower()
        if title and title not in known:
            prompt = str(model.backbone.tokenizer.decode(model.prompt_ids(example))).lower()
            found += re.search(rf"(?<!\w){re.escape(title)}(?!\w)", prompt) is not None
    if found:
        return Finding(check, "warning", f"{found} of {len(examples)} prompts hold the target's title")
    return Finding(check, "ok", f"none of {len(examples)}")


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


# -- numbers --------------------------------------------------------------------------------------------------------


def refuse_impossible(result: RankingResult, ks: Sequence[int]) -> None:
    """Refuse a result whose metrics lie outside 0..1 or contradict each other.

    Raises:
        DataError: names the metric; such a number is never shown.
    """
    refuse_impossible_values(
        result.name,
        {f"hit@{k}": hit_at(result, k) for k in ks} | {f"ndcg@{k}": ndcg_at(result, k) for k in ks},
        ks,
        mrr(result),
    )


def refuse_impossible_values(name: str, values: Mapping[str, float], ks: Sequence[int], mrr_value: float = 0.0) -> None:
    """As `refuse_impossible`, for numbers that are there already (a published table, say)."""
    for metric, value in {**values, "mrr": mrr_value}.items():
        if not 0 <= value <= 1 + ROUNDING:  # NaN fails this too
            raise DataError(f"{name}: {metric} = {value}", "lies outside 0..1", "look at the ranks of this method")
    for k in ks:
        hit, ndcg = values.get(f"hit@{k}"), values.get(f"ndcg@{k}")
        if hit is not None and ndcg is not None and ndcg > hit + ROUNDING:
            raise DataError(
                f"{name}: ndcg@{k} = {ndcg}", f"exceeds hit@{k} = {hit}, which no ranking can", "look at its ranks"
            )
    for metric in ("hit", "ndcg"):
        rising: list[Any] = [values[f"{metric}@{k}"] for k in ks if f"{metric}@{k}" in values]
        if any(later < earlier - ROUNDING for earlier, later in pairwise(rising)):
            raise DataError(
                f"{name}: {metric}@K", f"falls with K ({rising}), which no ranking can", "look at its ranks"
            )
