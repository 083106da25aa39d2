"""Checks of rankings: leaks, lists that contradict their ranks, methods that read the target.

Entry points: `data_findings` once per data set, `method_findings` for each method after its ranking,
`refuse_impossible` for every metric before it is shown. A finding is reported; an impossible number raises.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from reckon.data import Dataset, Examples
from reckon.data.examples import IntArray
from reckon.data.repeats import RARE
from reckon.errors import DataError
from reckon.evaluation.guards.finding import (
    CONSTANT_SHARE,
    PROBED_ROWS,
    ROUNDING,
    Finding,
    Level,
    id_order,
    row_order,
    training_before_test,
    training_findings,
)
from reckon.methods.ranking_model import RankingModel
from reckon.metrics import RankingResult, hit_at, mrr, ndcg_at
from reckon.metrics.lists import exposure
from reckon.models.recommender import RankedExamples

Rank = Callable[[Examples, int], RankedExamples]
"""A function of (rows, k): the rank of every row's target, and the k best items."""

# -- the data -------------------------------------------------------------------------------------------------------


def data_findings(dataset: Dataset, examples: Examples, *, exclude_seen: bool) -> list[Finding]:
    """Checks of the data for leaks, independent of the method.

    Args:
        dataset: with its training events.
        examples: the test rows.
        exclude_seen: whether items of the history are excluded.
    """
    return [
        _future_events(examples),
        training_before_test(dataset, examples.times),
        _targets_in_training(dataset, examples),
        _targets_in_history(examples, exclude_seen),
        row_order(dataset),
        id_order(dataset),
    ]


def _future_events(examples: Examples) -> Finding:
    """Check whether any event of a history is later than its target."""
    check = "future events in histories"
    if examples.events.time is None or examples.times is None:
        return Finding(check, "note", "cannot be checked: the rows have no times")
    late = 0
    for row in range(len(examples)):
        times = examples.events.time[examples.first[row] : examples.end[row]]
        late += bool(len(times) and times.max() > examples.times[row])
    if late:
        return Finding(check, "warning", f"{late:,} of {len(examples):,} histories hold an event after their target")
    return Finding(check, "ok", f"none in {len(examples):,} histories")


def _targets_in_training(dataset: Dataset, examples: Examples) -> Finding:
    """Check for test targets that are training interactions of the same user and are not in the history."""
    check = "test targets in training"
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


def _targets_in_history(examples: Examples, exclude_seen: bool) -> Finding:
    check = "targets taken before"
    share = float(np.mean([target in examples.seen(row) for row, target in enumerate(examples.targets)]))
    if share == 0:
        return Finding(check, "ok", "none")
    text = f"{share:.1%} of the targets are in their history"
    if exclude_seen:
        level: Level = "warning" if share > RARE else "note"
        return Finding(check, level, f"{text} and can never be hit; exclude_seen=false lets repeats be recommended")
    return Finding(check, "note", f"{text}: repeats count")


# -- a method -------------------------------------------------------------------------------------------------------


def method_findings(
    rank: Rank,
    examples: Examples,
    ranked: RankedExamples,
    catalog_size: int,
    *,
    exclude_seen: bool,
    sampled: bool = False,
    constant: bool = False,
    model: RankingModel | None = None,
    log: Sequence[Mapping[str, float]] = (),
) -> list[Finding]:
    """Checks of one fitted method.

    Args:
        rank: the method; some rows are ranked again.
        examples: the rows, with histories as the method reads them.
        ranked: the method's ranks and lists of these rows.
        catalog_size: I.
        exclude_seen: whether items of the history are excluded.
        sampled: whether the ranks are among sampled items; lists come from the whole catalog in either case.
        constant: whether the method gives all users the same list by design.
        model: the RankingModel, for a method with prompts.
        log: logged steps of its training.

    Raises:
        DataError: lists that contradict the ranks, or that hold excluded items.
    """
    _refuse_contradictions(examples, ranked, exclude_seen, sampled)
    findings = [_targets_unread(rank, examples)]
    if model is not None:
        findings.append(_target_in_prompt(model, examples))
    share = shared_share(ranked.items, catalog_size)
    if share >= CONSTANT_SHARE and not constant:
        text = f"{share:.0%} of all list places hold the same few items"
        findings.append(Finding("constant output", "warning", text))
    replies = (ranked.truncated, ranked.parsed) if model is not None and model.reasons else None
    return findings + training_findings(log, replies)


def shared_share(lists: IntArray, catalog_size: int) -> float:
    """Share of all list places that the K most shown items fill, for lists of K items; 1 where all lists hold the same
    items."""
    shown = exposure(lists, catalog_size, lists.shape[1])
    width = min(lists.shape[1], catalog_size)
    if shown.sum() == 0 or catalog_size <= 3 * width:
        return 0.0  # in a catalog this small all lists are similar
    return float(np.sort(shown)[-width:].sum() / shown.sum())


def _refuse_contradictions(examples: Examples, ranked: RankedExamples, exclude_seen: bool, sampled: bool) -> None:
    lists = ranked.items
    ordered = np.sort(lists, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)  # [U]
    if twice.any():
        raise DataError(f"list of row {int(twice.argmax())}", "names an item twice", "correct the method's top-k")
    found = (lists == examples.targets[:, None]).any(axis=1)
    lost = (ranked.ranks <= (lists >= 0).sum(axis=1)) & ~found
    if lost.any() and not sampled:
        row = int(lost.argmax())
        problem = f"lacks its target at rank {ranked.ranks[row]}"
        raise DataError(f"list of row {row}", problem, "correct the method's ranks")
    for row in range(len(lists)) if exclude_seen else ():
        if not set(examples.seen(row).tolist()).isdisjoint(lists[row].tolist()):
            raise DataError(f"list of row {row}", "holds an item of the history", "correct the method's masking")


def _targets_unread(rank: Rank, examples: Examples) -> Finding:
    """Rank some rows again with exchanged targets; their lists must not change."""
    examples = examples.sample(PROBED_ROWS, 0)
    turned = replace(examples, targets=np.roll(examples.targets, 1))
    before, after = (rank(asked, 10).items for asked in (examples, turned))
    changed = int((before != after).any(axis=1).sum())
    if changed:
        text = f"{changed} of {len(examples)} lists change with the target: the method reads it"
        return Finding("lists depend on the target", "warning", text)
    return Finding("lists depend on the target", "ok", f"none of {len(examples)}")


def _target_in_prompt(model: RankingModel, examples: Examples) -> Finding:
    """Check for target titles in the prompts of rows whose history does not hold them."""
    check = "target in prompt"
    examples = examples.sample(PROBED_ROWS, 0)
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


# -- numbers --------------------------------------------------------------------------------------------------------


def refuse_impossible(result: RankingResult, ks: Sequence[int]) -> None:
    """Refuse a result with metrics outside 0..1 or metrics that contradict each other.

    Raises:
        DataError: an impossible metric, by name.
    """
    refuse_impossible_values(
        result.name,
        {f"hit@{k}": hit_at(result, k) for k in ks} | {f"ndcg@{k}": ndcg_at(result, k) for k in ks},
        ks,
        mrr(result),
    )


def refuse_impossible_values(name: str, values: Mapping[str, float], ks: Sequence[int], mrr_value: float = 0.0) -> None:
    """As `refuse_impossible`, for given numbers such as published ones."""
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
