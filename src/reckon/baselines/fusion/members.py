"""The members of a fusion: baselines fitted on the spot, and finished runs of methods that reason.

Entry points: `new_members` fits or loads them by name, `save_members` and `stored` are their storage.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.scorers import SCORERS
from reckon.config import config_from
from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import Example, IntArray
from reckon.errors import CheckpointError, ConfigError
from reckon.files import write_text
from reckon.json_file import read_json
from reckon.methods.ranking_model import READERS_AT_ONCE, RankingModel
from reckon.methods.registry import load_ranking_model
from reckon.models.scoring import item_scores
from reckon.runs.read import check_trained_on

FOLDER, NAMES_FILE = "members", "members.json"
FIT_AGAIN = "fit and save it again"


class Member(ABC):
    """A fitted recommender with a score for every item."""

    name: str
    """As in the settings of the fusion."""

    @abstractmethod
    def of_rows(self, examples: Examples, rows: range) -> Tensor:
        """[n, I] scores of every item for some rows of a split."""

    @abstractmethod
    def of_histories(self, histories: Sequence[IntArray]) -> Tensor:
        """[n, I] scores of every item for histories of item indices, oldest first."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `stored` reads."""


@dataclass(frozen=True, slots=True)
class BaselineMember(Member):
    """A baseline."""

    name: str
    baseline: Baseline

    def of_rows(self, examples: Examples, rows: range) -> Tensor:
        return self.of_histories([examples.history(row) for row in rows])

    def of_histories(self, histories: Sequence[IntArray]) -> Tensor:
        return self.baseline.scores(histories)

    def save(self, folder: Path) -> None:
        self.baseline.save_pretrained(folder)


@dataclass(frozen=True, slots=True)
class RunMember(Member):
    """A finished run, with its greedy reasoning or without any."""

    name: str
    model: RankingModel

    def of_rows(self, examples: Examples, rows: range) -> Tensor:
        return self._scores([examples[row] for row in rows])

    def of_histories(self, histories: Sequence[IntArray]) -> Tensor:
        return self._scores([self.model.example_of(history) for history in histories])

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)

    def _scores(self, examples: Sequence[Example]) -> Tensor:
        model, parts = self.model, [torch.zeros(0, len(self.model.catalog))]
        for start in range(0, len(examples), READERS_AT_ONCE):
            batch = [self._within_window(example) for example in examples[start : start + READERS_AT_ONCE]]
            queries = model.reading(batch).queries
            parts.append(item_scores(queries, model.table.vectors, model.bias).cpu())
        return torch.cat(parts)

    def _within_window(self, example: Example) -> Example:
        """The row as the run was trained: its prompt may show fewer events than the other members read."""
        return replace(example, history=example.history[-self.model.prompt.window :], earlier=example.seen)


def new_members(
    names: Sequence[str],
    without_reasoning: Sequence[str],
    settings: Mapping[str, dict[str, Any]],
    dataset: Dataset,
    fitting: Fitting,
) -> list[BaselineMember | RunMember]:
    """Load the runs and fit the baselines; arguments as the fields of `FusionConfig`, and those of `Baseline.learn`.

    Raises:
        ConfigError: a name is neither a baseline nor a folder, a run without reasoning is to be read without it, or a
            baseline's setting is wrong.
        CheckpointError: a run is not finished, or was trained on other data or another split.
        MissingExtraError: a baseline needs an extra.
    """
    runs = {name: _run(name, dataset) for name in names if name not in SCORERS}  # before hours of fitting
    silent = [RunMember(f"{name}, reasoning left out", _silent(name, dataset)) for name in without_reasoning]
    configs: dict[str, Any] = {
        name: config_from(SCORERS[name].CONFIG, settings.get(name, {}), path=f"settings.{name}")
        for name in names
        if name in SCORERS
    }
    members: list[BaselineMember | RunMember] = []
    for name in names:
        if name in runs:
            members.append(RunMember(name, runs[name]))
            continue
        baseline = SCORERS[name].fit(
            dataset,
            configs[name],
            exclude_seen=fitting.exclude_seen,
            seed=fitting.seed,
            on_progress=_progress_of(len(members), len(names), fitting.on_progress),
        )
        members.append(BaselineMember(name, baseline))
    return [*members, *silent]


def _progress_of(place: int, members: int, on_progress: Callable[[float], None]) -> Callable[[float], None]:
    """Turns the share done of one member into that of all the work, whose last part are the weights."""
    return lambda share: on_progress((place + share) / (members + 1))


def _run(name: str, dataset: Dataset) -> RankingModel:
    """The model of a finished run on this data."""
    if not Path(name).is_dir():
        fix = f"use a finished run's folder, or one of {', '.join(SCORERS)}"
        raise ConfigError("members", name, "is neither a baseline nor a folder", fix)
    check_trained_on(Path(name), dataset)
    return load_ranking_model(Path(name))


def _silent(name: str, dataset: Dataset) -> RankingModel:
    """The model of a finished run, without its reasoning."""
    silent = _run(name, dataset).without_reasoning()
    if silent is None:
        raise ConfigError("without_reasoning", name, "this run writes no reasoning", "name it in members")
    return silent


def save_members(members: Sequence[Member], folder: Path) -> None:
    """Write all members below a folder, then their names."""
    for place, member in enumerate(members):
        member.save(folder / FOLDER / str(place))
    write_text(folder / NAMES_FILE, json.dumps({"members": [member.name for member in members]}))


def stored(folder: Path, catalog: Catalog) -> list[BaselineMember | RunMember]:
    """Read what `save_members` wrote.

    Raises:
        CheckpointError: a part is missing or damaged, or belongs to another catalog.
    """
    names = read_json(folder / NAMES_FILE, {"members": [str]}, fix=FIT_AGAIN)["members"]
    members: list[BaselineMember | RunMember] = []
    for place, name in enumerate(names):
        where = folder / FOLDER / str(place)
        if name in SCORERS:
            members.append(BaselineMember(name, SCORERS[name].from_pretrained(where, catalog)))
            continue
        model = load_ranking_model(where)
        if model.catalog.ids != catalog.ids:
            raise CheckpointError(where, "belongs to another catalog", FIT_AGAIN)
        members.append(RunMember(name, model))
    return members
