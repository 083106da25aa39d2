"""How a method named in a config is fitted: one interface for all, and what methods on a backbone have in common.

Entry points: `Contestant` and `MethodContestant`; which names there are, says `reckon.comparison.registry`. A
contestant checks settings (`settings_of`), says what is worth tuning (`search`), what its settings depend on beside
themselves (`identity`), and is fitted in a folder of its own (`fit`). Those that rank are in
`reckon.comparison.ranking.contestants`, those that predict ratings in `reckon.comparison.rating.contestants`.

The protocol decides seed and masking for all alike, so a config that sets one of them for a method is refused; its
window is the most that any method may read.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reckon.baselines.generative.title_writer import NEW
from reckon.comparison.config import ProtocolConfig
from reckon.config import config_from, to_dict
from reckon.data import Dataset
from reckon.errors import ConfigError
from reckon.identity import source_identity
from reckon.methods.method import Method, Task
from reckon.models.sentence_encoder import STATIC
from reckon.runs.read import log_of, manifest_of

OnProgress = Callable[[float], None]
FOLDER_FIELDS = ("backbone", "encoder", "traces")  # settings that may name a folder
FACTS = ("parameters", "trainable_parameters", "backbone")  # of a run's manifest, for `metrics.json`


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(ABC):
    """Result of fitting one contestant."""

    log: Sequence[Mapping[str, float]] = ()
    """What the training logged."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Parameters, backbone."""

    @property
    @abstractmethod
    def reasons(self) -> bool:
        """Whether it writes before it recommends."""


def of_run(run: Path) -> dict[str, Any]:
    """`log` and `facts` of a finished run directory."""
    manifest = manifest_of(run)
    return {"log": log_of(run), "facts": {name: manifest[name] for name in FACTS}}


class Contestant(ABC):
    """One method, before it is fitted."""

    name: str
    task: Task = "ranking"
    constant = False
    """Whether the same recommendation for everybody is what the method promises."""

    @abstractmethod
    def settings_of(self, values: Mapping[str, Any], path: str) -> Any:
        """The method's settings from what a config says. Raises ConfigError by the field's path."""

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        """Settings worth tuning, each with its values."""
        return {}

    def identity(self, settings: Any) -> dict[str, Any]:
        """Everything beside data, protocol and seed that the outcome follows from, as JSON."""
        return to_dict(settings)

    @abstractmethod
    def fit(
        self,
        dataset: Dataset,
        settings: Any,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> Trained:
        """Train; `folder` is this fit's own, and may hold what an interrupted one left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSettings:
    """Settings of a method on a backbone: where it starts, its own config, and what only it asks (`Method.options`)."""

    backbone: str
    config: Any
    options: Mapping[str, Any]


class MethodContestant(Contestant):
    """One arm of a method of `reckon.methods.registry`; a subclass for each task fits it."""

    def __init__(self, method: Method, arm: str) -> None:
        self.method, self.arm, self.name, self.task = method, arm, method.arms[arm], method.task

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        return self.method.search

    @property
    def owned(self) -> tuple[str, ...]:
        """Settings that are the protocol's, or said by the contestant's name."""
        return ("seed", "arm") if len(self.method.contestants) > 1 else ("seed",)

    def settings_of(self, values: Mapping[str, Any], path: str) -> MethodSettings:
        method = self.method
        refuse_protocol(values, path, self.owned)
        rest = dict(values)
        backbone, preset = rest.pop("backbone", None), rest.pop("preset", "paper")
        if not isinstance(backbone, str):
            fix = "name a folder or hub id of a causal language model; "
            fix += f"`reckon backbone new --task {method.backbone_task}` makes a small one"
            raise ConfigError(f"{path}.backbone", backbone, f"{self.name} needs one", fix)
        options = {
            option.name: option.checked(rest.pop(option.name, None), f"{path}.{option.name}", self.name)
            for option in method.options
            if option.compared
        }
        config = config_from(method.config, rest, self._preset(preset, path), path)
        return MethodSettings(backbone=backbone, config=config, options=options)

    def _preset(self, name: Any, path: str) -> Any:
        try:
            return self.method.preset(name, self.arm)
        except ConfigError as error:
            raise ConfigError(f"{path}.{error.field}", error.value, error.rule, error.fix) from None

    def identity(self, settings: MethodSettings) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "config": identified(to_dict(settings.config)),
            "backbone": identified(settings.backbone, "backbone"),
            **{name: identified(value, name) for name, value in settings.options.items()},
        }

    def trained(
        self, dataset: Dataset, settings: MethodSettings, config: Any, run: Path, on_progress: OnProgress
    ) -> Any:
        """The model, trained in the run directory, gone on with, or loaded where it is whole already."""
        if (run / "manifest.json").exists():  # the cell stopped before the model was asked
            return self.method.load(run)
        return self.method.train(
            config,
            dataset,
            settings.backbone,
            run,
            resume=None,
            progress=False,
            on_progress=on_progress,
            **settings.options,
        )


def refuse_protocol(values: Mapping[str, Any], path: str, owned: Sequence[str]) -> None:
    """Refuse settings that are the protocol's. Raises ConfigError by the field's path."""
    for name in owned:
        section, _, key = name.rpartition(".")
        nested = values.get(section) if section else values
        if name in values or (isinstance(nested, Mapping) and key in nested):
            rule = "the protocol decides this for all methods alike"
            fix = "set `seeds` or a field of `protocol`" if key != "arm" else "name the arm as the method"
            raise ConfigError(f"{path}.{name}", values.get(name), rule, fix)


def identified(value: Any, name: str = "") -> Any:
    """Settings in which every folder, of a model or of traces, stands as what it holds: another in its place is
    noticed."""
    if isinstance(value, Mapping):
        return {key: identified(inner, str(key)) for key, inner in value.items()}
    if name in FOLDER_FIELDS and isinstance(value, str) and value not in (NEW, STATIC) and Path(value).is_dir():
        return source_identity(value)
    return value
