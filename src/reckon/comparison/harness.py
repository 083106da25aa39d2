"""Run a comparison: from a data set and a config to results.

Entry point: `run_comparison`. The folder of a comparison holds

    comparison.yaml    the resolved config
    cells/             one folder per method and seed; a finished cell is not trained again
    trials/            the same for trials of tuning
    tuning.json        settings tried, their scores, the kept settings
    metrics.json       all numbers of the tables
    tables/            each table as Markdown, CSV and LaTeX
    report.html        the report

Wrong fields and values of the config are refused before any training. A missing extra or folder fails only the cells
that need it.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reckon.comparison.cells import CELL_FILE, Cell, failure_of, fingerprint_of, read_cell
from reckon.comparison.config import ComparisonConfig, MethodConfig
from reckon.comparison.contestant import Contestant
from reckon.comparison.protocol import apply_split
from reckon.comparison.registry import TASKS, contestant
from reckon.comparison.statistics import Difference, Standing, differences
from reckon.comparison.task import Task
from reckon.comparison.tuning import best_trial, check_search, trials_of
from reckon.comparison.workers import Runner, run_cells
from reckon.config import plain_value, save_config, to_dict
from reckon.data import Dataset
from reckon.data.repeats import settled
from reckon.errors import CheckpointError
from reckon.evaluation.guards.finding import Finding
from reckon.files import file_sha256, write_text
from reckon.json_file import read_json
from reckon.locks import locked
from reckon.metrics.measures import measure_of

CONFIG_FILE, TUNING_FILE = "comparison.yaml", "tuning.json"


@dataclass(frozen=True, slots=True)
class Trials:
    """Trials of tuning for one method."""

    settings: Sequence[Mapping[str, Any]]
    scores: Sequence[float | None]
    """Selection metric of each trial on validation rows; None where the trial failed."""
    kept: int | None
    """Index of the best trial; None where all failed."""

    def to_dict(self, key: str) -> dict[str, Any]:
        """An entry of `tuning.json`; `key` is the name of the scores."""
        return {
            "trials": [
                {"settings": plain_value(dict(settings)), key: score}
                for settings, score in zip(self.settings, self.scores, strict=True)
            ],
            "kept": self.kept,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of a comparison, as tables and report read them."""

    config: ComparisonConfig
    task: Task
    dataset: Dataset
    rows: Any
    """Test rows, of the task's own type."""
    standings: Sequence[Standing]
    differences: Sequence[Difference]
    findings: Sequence[Finding]
    """Findings about the data; findings about methods are in their cells."""
    trials: Mapping[str, Trials]
    lists: Mapping[str, Mapping[str, float]]
    """Metrics of recommended lists, by name of each complete ranking method."""
    best_possible: Mapping[str, float] | None
    seconds: float

    @property
    def whole(self) -> list[Standing]:
        """Methods with all seeds finished."""
        return [standing for standing in self.standings if standing.whole]


@locked()
def run_comparison(
    data: str | Path, config: ComparisonConfig, out: str | Path, *, runner: Runner = run_cells
) -> Comparison:
    """Run all cells that are not finished, and compute the results.

    Args:
        data: dataset directory.
        config: methods, seeds, protocol, budget.
        out: folder of the comparison. Finished cells in it are kept if none of their inputs changed.
        runner: runs the cells; default: each in its own process.

    Raises:
        ConfigError, DataError: before any training.
        CheckpointError: `out` is not empty and holds no comparison.
    """
    out, started = Path(out), time.perf_counter()
    plan = _Plan.make(Path(data), config, out)
    config = plan.config
    _check_folder(out)
    save_config(config, out / CONFIG_FILE)
    trials = _tune(plan, runner)
    key = config.metric_key(plan.task.selection)
    write_text(out / TUNING_FILE, json.dumps({name: tried.to_dict(key) for name, tried in trials.items()}, indent=2))
    cells = _cells(plan, trials)
    runner([cell for row in cells.values() for cell in row], config.workers)
    standings = [_standing(plan, method, cells.get(method.label, []), trials) for method in config.methods]
    for standing in standings:
        for result in standing.results:
            plan.task.refuse_impossible(result, config)
    return Comparison(
        config,
        plan.task,
        plan.dataset,
        plan.rows,
        standings,
        differences(standings, config.compared_with, config.tests),
        [*plan.task.data_findings(plan.dataset, plan.rows, config.protocol), *_split_findings(plan)],
        trials,
        _list_numbers(plan, standings),
        plan.task.best_possible(plan.dataset, plan.rows, config),
        time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """A config that has been checked against the data."""

    config: ComparisonConfig
    task: Task
    dataset: Dataset
    rows: Any
    valid: Any
    """Validation rows of the trials; None without tuning."""
    contestants: Mapping[str, "_ParsedContestant"]
    searches: Mapping[str, Mapping[str, list[Any]]]
    data: Mapping[str, Any]
    """Identity of the data set, for fingerprints."""
    out: Path

    @classmethod
    def make(cls, data: Path, config: ComparisonConfig, out: Path) -> "_Plan":
        """Load the data, settle the protocol, and check the whole config against the data."""
        task, prepared = TASKS[config.task], Dataset.load(data)
        dataset = apply_split(prepared, config.protocol)
        if config.task == "ranking":
            protocol = replace(config.protocol, exclude_seen=settled(config.protocol.exclude_seen, dataset))
            config = replace(config, protocol=protocol)
        protocol = config.protocol
        for published in config.published:
            task.refuse_published(published, dataset, config)
        rows = task.rows(dataset, protocol, "test", protocol.rows)
        tuned = config.tuning.trials > 1
        valid = task.rows(dataset, protocol, "valid", config.tuning.rows) if tuned else None
        contestants, searches = {}, {}
        for place, method in enumerate(config.methods):
            path = f"methods[{place}]"
            found = contestant(method.method, f"{path}.method")
            asked = _ParsedContestant(found)
            asked.identity(method.settings, f"{path}.settings")
            search = found.search if method.search is None else method.search
            searches[method.label] = check_search(search, f"{path}.search")
            for trial in _every_value(method.settings, searches[method.label]):
                asked.identity(trial, f"{path}.search")
            contestants[method.label] = asked
        return cls(config, task, dataset, rows, valid, contestants, searches, _data_identity(prepared), out)

    def cell(self, method: MethodConfig, values: Mapping[str, Any], seed: int, split: str) -> Cell:
        """Make one cell with its fingerprint and folder."""
        config = self.config
        rows = self.rows if split == "test" else self.valid
        path = f"methods[{config.methods.index(method)}].settings"
        width = max(*config.ks, 10) if split == "test" else 10
        reasoning = config.reasoning.rows if split == "test" else 0
        parts = {
            "method": method.method,
            "settings": self.contestants[method.label].identity(values, path),
            "seed": seed,
            "split": split,
            "protocol": to_dict(config.protocol),
            "data": self.data,
            "rows": rows.checksum,
            "width": width,
            "reasoning": reasoning,
        }
        mark = fingerprint_of(parts)
        kind = "cells" if split == "test" else "trials"
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", method.label)
        return Cell(
            label=method.label,
            method=method.method,
            values=plain_value(dict(values)),
            path=path,
            seed=seed,
            split=split,
            limit=config.protocol.rows if split == "test" else config.tuning.rows,
            width=width,
            protocol=to_dict(config.protocol),
            data=str(self.dataset.path.resolve()),
            reasoning_rows=reasoning,
            fingerprint=mark,
            folder=str(self.out.resolve() / kind / slug / f"seed-{seed}-{mark[:8]}"),
        )


class _ParsedContestant:
    """A contestant that parses equal settings once per plan.

    A cell's process parses its settings again, because it gets the cell as JSON.
    """

    def __init__(self, contestant: Contestant) -> None:
        self._contestant = contestant
        self._identities: dict[str, dict[str, Any]] = {}

    def identity(self, values: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Identity of these settings. Raises ConfigError with the path of the wrong field."""
        key = json.dumps(plain_value(dict(values)), sort_keys=True, default=str)
        if key not in self._identities:
            self._identities[key] = self._contestant.identity(self._contestant.settings_of(values, path))
        return self._identities[key]


def _data_identity(prepared: Dataset) -> dict[str, Any]:
    """Digests of all tables (notes for pretraining included), with item and action words, scale and split."""
    further = sorted(path for path in prepared.path.glob("*.parquet") if path.name not in prepared.info["files"])
    return {
        "checksum": prepared.checksum,
        "further": {path.name: file_sha256(path) for path in further},
        "words": dict(prepared.words),
        "rating_scale": prepared.info.get("rating_scale"),
        "prepared": prepared.protocol,
    }


def _every_value(values: Mapping[str, Any], search: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The given settings with each value of the search space once, to check all values before training."""
    return [dict(values) | {name: option} for name, options in search.items() for option in options]


def _check_folder(out: Path) -> None:
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / CONFIG_FILE).exists())):
        raise CheckpointError(out, "is not empty and holds no comparison", "choose a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)


def _tune(plan: _Plan, runner: Runner) -> dict[str, Trials]:
    """Run the trials of every method with a search space, with the first seed."""
    config, asked = plan.config, {}
    if plan.valid is None:
        return {}
    for method in config.methods:
        settings = trials_of(method.settings, plan.searches[method.label], config.tuning.trials, method.label)
        if len(settings) > 1:
            asked[method.label] = (settings, [plan.cell(method, one, config.seeds[0], "valid") for one in settings])
    runner([cell for _, cells in asked.values() for cell in cells], config.workers)
    tried = {}
    for name, (settings, cells) in asked.items():
        scores = [_score(cell) for cell in cells]
        tried[name] = Trials(settings, scores, best_trial(scores, measure_of(plan.task.selection).lower_is_better))
    return tried


def _score(cell: Cell) -> float | None:
    """Score of a trial; None where it failed."""
    if not cell.finished:
        return None
    fix = "remove the cell's folder and compare again"
    return float(read_json(Path(cell.folder) / CELL_FILE, {"score": float}, fix=fix)["score"])


def _cells(plan: _Plan, trials: Mapping[str, Trials]) -> dict[str, list[Cell]]:
    """One cell per method and seed; none for a method whose trials all failed."""
    cells = {}
    for method in plan.config.methods:
        tried = trials.get(method.label)
        if tried is None or tried.kept is not None:
            values = method.settings if tried is None else tried.settings[tried.kept or 0]
            cells[method.label] = [plan.cell(method, values, seed, "test") for seed in plan.config.seeds]
    return cells


def _standing(plan: _Plan, method: MethodConfig, cells: Sequence[Cell], trials: Mapping[str, Trials]) -> Standing:
    tried, finished, failures = trials.get(method.label), {}, {}
    if not cells:
        failures = {seed: "all trials of tuning failed" for seed in plan.config.seeds}
    for cell in cells:
        try:
            if cell.finished:
                finished[cell.seed] = read_cell(cell, plan.task, plan.rows, plan.dataset)
            else:
                failures[cell.seed] = failure_of(cell) or "was not run"
        except CheckpointError as error:
            failures[cell.seed] = str(error)
    kept = cells[0].values if cells else method.settings
    return Standing(method.label, method.method, kept, finished, failures, len(tried.settings) if tried else 0)


def _split_findings(plan: _Plan) -> list[Finding]:
    """A warning where backbones or traces may have been made with another split, whose training rows may be test rows
    here."""
    made = [method.label for method in plan.config.methods if {"backbone", "traces"} & set(method.settings)]
    prepared = plan.data["prepared"]
    if prepared == plan.dataset.protocol or not made:
        return []
    text = (
        f"the data was prepared with the {prepared} split: what {', '.join(made)} start from may have learned from "
        "rows that are test rows here, if it was made of this data"
    )
    return [Finding("split of the backbones", "warning", text)]


def _list_numbers(plan: _Plan, standings: Sequence[Standing]) -> dict[str, dict[str, float]]:
    results = {standing.name: standing.results for standing in standings if standing.whole}
    return plan.task.list_numbers(plan.dataset, plan.rows, results, plan.config)
