"""The members of a fusion: baselines fitted on the spot, and finished runs of methods that reason.

Entry points: `new_members` fits or loads them by name, `stored` and `save_members` are their storage.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline, Fitting
from reckon.baselines.scorers import SCORERS
from reckon.config import load_config
from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import Example, IntArray
from reckon.errors import ConfigError
from reckon.files import write_text
from reckon.json_file import read_json
from reckon.methods.ranking_model import READERS_AT_ONCE, RankingModel
from reckon.methods.registry import load_ranking_model
from reckon.models.scoring import item_scores
from reckon.runs.read import check_trained_on

DIRECT = "direct:"  # before the folder of a run: its weights without reasoning
FOLDER, NAMES_FILE = "members", "members.json"


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
    names: Sequence[str], settings: Sequence[str], dataset: Dataset, fitting: Fitting
) -> list[BaselineMember | RunMember]:
    """Fit the baselines and load the runs.

    Args:
        names: as `FusionConfig.members`.
        settings: as `FusionConfig.settings`.
        dataset: of training and validation; a run must have been trained on it.
        fitting: as of the fusion; told of the progress.

    Raises:
        ConfigError: a setting is of no member.
        CheckpointError: a run is not finished, or was trained on other data or another split.
        MissingExtraError: a baseline needs an extra.
    """
    for setting in settings:
        if setting.partition(".")[0] not in names:
            fix = "write NAME.field=value, with NAME from members"
            raise ConfigError("settings", setting, "is a setting of no member", fix)
    members: list[BaselineMember | RunMember] = []
    for place, name in enumerate(names):
        if name in SCORERS:
            own = [setting.removeprefix(f"{name}.") for setting in settings if setting.startswith(f"{name}.")]
            config: Any = load_config(SCORERS[name].CONFIG, None, own)
            baseline = SCORERS[name].fit(
                dataset,
                config,
                exclude_seen=fitting.exclude_seen,
                seed=fitting.seed,
                on_progress=_share(fitting, place, len(names)),
            )
            members.append(BaselineMember(name, baseline))
        else:
            members.append(RunMember(name, _run(name, dataset)))
        fitting.on_progress((place + 1) / (len(names) + 1))
    return members


def _share(fitting: Fitting, place: int, count: int) -> Callable[[float], None]:
    """Progress of one member as a share of all the work; the weights are the last part."""
    return lambda share: fitting.on_progress((place + share) / (count + 1))


def _run(name: str, dataset: Dataset) -> RankingModel:
    folder = Path(name.removeprefix(DIRECT))
    check_trained_on(folder, dataset)
    model = load_ranking_model(folder)
    if not name.startswith(DIRECT):
        return model
    direct = model.without_reasoning()
    if direct is None:
        raise ConfigError("members", name, "this run writes no reasoning", f"write {folder}")
    return direct


def check_names(names: Sequence[str]) -> None:
    """Refuse what is neither a baseline nor a folder. Raises ConfigError."""
    for name in names:
        if name not in SCORERS and not Path(name.removeprefix(DIRECT)).is_dir():
            fix = f"use a finished run's folder, or one of {', '.join(SCORERS)}"
            raise ConfigError("members", name, "is neither a baseline nor a folder", fix)


def save_members(members: Sequence[Member], folder: Path) -> None:
    """Write all members below a folder, then their names."""
    for place, member in enumerate(members):
        member.save(folder / FOLDER / str(place))
    write_text(folder / NAMES_FILE, json.dumps({"members": [member.name for member in members]}))


def stored(folder: Path, catalog: Catalog) -> list[BaselineMember | RunMember]:
    """Read what `save_members` wrote. Raises CheckpointError where a part is missing or damaged."""
    names = read_json(folder / NAMES_FILE, {"members": [str]}, fix="fit and save it again")
    members: list[BaselineMember | RunMember] = []
    for place, name in enumerate(names["members"]):
        where = folder / FOLDER / str(place)
        if name in SCORERS:
            members.append(BaselineMember(name, SCORERS[name].from_pretrained(where, catalog)))
        else:
            model = load_ranking_model(where)
            members.append(RunMember(name, (model.without_reasoning() or model) if name.startswith(DIRECT) else model))
    return members
