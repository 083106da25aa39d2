"""The interface by which a comparison fits any method, and its part for methods on a backbone.

Entry points: `Contestant` and `MethodContestant`; `reckon.comparison.registry` lists the names. A contestant checks
settings (`settings_of`), gives a search space (`search`) and the identity of its inputs (`identity`), and is fitted in
its own folder (`fit`). `reckon.comparison.ranking.contestants` and `reckon.comparison.rating.contestants` hold the
contestants of the two tasks.

Seed and masking belong to the protocol; a config that sets one of them for a method is refused. The protocol's window
limits what any method reads.
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
from reckon.small_backbone.purpose import check_purpose

OnProgress = Callable[[float], None]
FOLDER_FIELDS = ("backbone", "encoder", "traces", "members", "without_reasoning")  # settings that may name folders
FACTS = ("parameters", "trainable_parameters", "backbone")  # entries of a run's manifest that go into `metrics.json`


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(ABC):
    """Result of fitting one contestant."""

    log: Sequence[Mapping[str, float]] = ()
    """Logged steps of the training."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Parameters, backbone."""

    @property
    @abstractmethod
    def reasons(self) -> bool:
        """Whether the method writes reasoning before it recommends."""


def of_run(run: Path) -> dict[str, Any]:
    """`log` and `facts` from a finished run directory."""
    manifest = manifest_of(run)
    return {"log": log_of(run), "facts": {name: manifest[name] for name in FACTS}}


class Contestant(ABC):
    """One method of a comparison, before fitting."""

    name: str
    task: Task = "ranking"
    constant = False
    """Whether the method gives all users the same recommendation by design."""

    @abstractmethod
    def settings_of(self, values: Mapping[str, Any], path: str) -> Any:
        """The method's settings from the values of a config. Raises ConfigError with the path of the wrong field."""

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        """Default search space: settings, each with its values."""
        return {}

    def identity(self, settings: Any) -> dict[str, Any]:
        """All inputs of the outcome besides data, protocol and seed, as JSON values."""
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
        """Fit the method. `folder` belongs to this fit and may hold the state of an interrupted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSettings:
    """Settings of a method on a backbone: the backbone, the method's config, and its options (`Method.options`)."""

    backbone: str
    config: Any
    options: Mapping[str, Any]


class MethodContestant(Contestant):
    """One arm of a method of `reckon.methods.registry`; each task has a subclass."""

    def __init__(self, method: Method, arm: str) -> None:
        self.method, self.arm, self.name, self.task = method, arm, method.arms[arm], method.task

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        return self.method.search

    @property
    def owned(self) -> tuple[str, ...]:
        """Settings that a config must not set: the protocol or the contestant's name decides them."""
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
        check_purpose(backbone, f"{path}.backbone", self.name, method.backbone_task, config.prompt.style)
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
        """The trained model: trained in the run directory, resumed there, or loaded from it if training is complete."""
        if (run / "manifest.json").exists():  # the cell stopped after training
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
    """Refuse settings that belong to the protocol. Raises ConfigError with the path of the field."""
    for name in owned:
        section, _, key = name.rpartition(".")
        nested = values.get(section) if section else values
        if name in values or (isinstance(nested, Mapping) and key in nested):
            rule = "the protocol decides this for all methods"
            fix = "set `seeds` or a field of `protocol`" if key != "arm" else "name the arm as the method"
            raise ConfigError(f"{path}.{name}", values.get(name), rule, fix)


def identified(value: Any, name: str = "") -> Any:
    """Settings with every folder of a model or of traces replaced by a digest of its content."""
    if isinstance(value, Mapping):
        return {key: identified(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [identified(inner, name) for inner in value]
    if name in FOLDER_FIELDS and isinstance(value, str) and value not in (NEW, STATIC) and Path(value).is_dir():
        return source_identity(value)
    return value
