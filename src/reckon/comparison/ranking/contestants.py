"""How a method named in a config is fitted: one interface for all, and every baseline and method that ranks.

Entry points: `Contestant`; which names there are, says `reckon.comparison.registry`. A contestant checks settings
(`settings_of`), says what is worth tuning (`search`), what its settings depend on beside themselves (`identity`), and
is fitted in a folder of its own (`fit`). Those that predict ratings are in `reckon.comparison.rating.contestants`.

The protocol decides seed and masking for all alike, so a config that sets one of them for a method is refused; its
window is the most that any method may read when it ranks.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from reckon.baselines import Baseline
from reckon.baselines.generative.title_writer import NEW
from reckon.comparison.config import ProtocolConfig
from reckon.comparison.protocol import Ranker
from reckon.config import config_from, to_dict
from reckon.data import Dataset, Examples
from reckon.errors import ConfigError
from reckon.methods.ranking_model import RankingModel
from reckon.models.recommender import RankedExamples, Recommendation
from reckon.models.sentence_encoder import STATIC
from reckon.rl.checkpoints import last_checkpoint
from reckon.runs.read import Task as TaskName
from reckon.runs.read import log_of, manifest_of

OnProgress = Callable[[float], None]
FOLDER_FIELDS = ("backbone", "encoder", "traces")  # settings that may name a folder
FACTS = ("parameters", "trainable_parameters", "backbone")  # of a run's manifest, for `metrics.json`
EDGE_BYTES = 1 << 20  # of each end of a folder's files that its identity is made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(ABC):
    """What fitting leaves, whatever the task."""

    log: Sequence[Mapping[str, float]] = ()
    """What the training logged."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Parameters, backbone."""

    @property
    @abstractmethod
    def reasons(self) -> bool:
        """Whether it writes before it recommends."""


@dataclass(frozen=True, slots=True)
class Fitted(Trained):
    """Something that ranks, and what is known of it."""

    ranker: Ranker
    window: int
    """Latest events of a history that it reads."""
    model: RankingModel | None = None
    """The model behind it, where it is one that may reason."""

    @property
    def reasons(self) -> bool:
        return self.model is not None and self.model.reasons


def of_run(run: Path) -> dict[str, Any]:
    """`log` and `facts` of a finished run directory."""
    manifest = manifest_of(run)
    return {"log": log_of(run), "facts": {name: manifest[name] for name in FACTS}}


class Contestant(ABC):
    """One method, before it is fitted."""

    name: str
    task: TaskName = "ranking"
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


# -- baselines ------------------------------------------------------------------------------------------------------


class RankedBaseline:
    """A baseline as the harness asks it."""

    def __init__(self, baseline: Baseline) -> None:
        self.baseline = baseline

    def ranks(self, examples: Examples, k: int, on_batch: Callable[[int], None] | None = None) -> RankedExamples:
        return self.baseline.ranks(examples, k, on_batch=on_batch)

    def lists(self, examples: Examples) -> list[Recommendation]:
        histories = [examples.history(row) for row in range(len(examples))]
        return self.baseline.recommend(histories, len(self.baseline.catalog), False)


class BaselineContestant(Contestant):
    """Any baseline that ranks."""

    def __init__(self, baseline: type[Baseline]) -> None:
        self.baseline, self.name = baseline, baseline.NAME
        self.constant = "popularity" in baseline.NAME

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        return self.baseline.SEARCH

    def settings_of(self, values: Mapping[str, Any], path: str) -> Any:
        refuse_protocol(values, path, ("seed", "exclude_seen"))
        return config_from(self.baseline.CONFIG, dict(values), path=path)

    def identity(self, settings: Any) -> dict[str, Any]:
        return dict(identified(to_dict(settings)))

    def fit(
        self,
        dataset: Dataset,
        settings: Any,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> Fitted:
        fitted = self.baseline.fit(
            dataset, settings, exclude_seen=protocol.exclude_seen, seed=seed, on_progress=on_progress
        )
        facts = {"numbers learned": fitted.numbers_learned}
        return Fitted(RankedBaseline(fitted), protocol.window, facts=facts)


# -- methods that reason --------------------------------------------------------------------------------------------


class RankedModel:
    """A RankingModel as the harness asks it."""

    def __init__(self, model: RankingModel) -> None:
        self.model = model

    def ranks(self, examples: Examples, k: int, on_batch: Callable[[int], None] | None = None) -> RankedExamples:
        return self.model.ranks(examples, k, on_batch=on_batch)

    def lists(self, examples: Examples) -> list[Recommendation]:
        return self.model.recommend_examples([*examples], len(self.model.catalog), False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Settings of a method on a backbone: where it starts, and its own config."""

    backbone: str
    config: Any
    rounds: int = 1


class MethodContestant(Contestant):
    """R2ec or RPORec, whole or one of their arms."""

    def __init__(self, name: str, method: Literal["r2ec", "rporec"], arm: str) -> None:
        self.name, self.method, self.arm = name, method, arm

    @property
    def search(self) -> Mapping[str, Sequence[Any]]:
        rate = "training.learning_rate" if self.method == "r2ec" else "stage_one.learning_rate"
        return {rate: (1e-4, 3e-4, 1e-3)}

    def settings_of(self, values: Mapping[str, Any], path: str) -> ModelSettings:
        section = "head" if self.method == "r2ec" else "rechead"
        refuse_protocol(values, path, ("seed", "arm", f"{section}.exclude_seen"))
        rest = dict(values)
        backbone, preset, rounds = rest.pop("backbone", None), rest.pop("preset", "paper"), rest.pop("rounds", 1)
        if not isinstance(backbone, str):
            fix = "name a folder or hub id of a causal language model; `reckon backbone new` makes a small one"
            raise ConfigError(f"{path}.backbone", backbone, f"{self.name} needs one", fix)
        if not isinstance(rounds, int) or rounds < 1 or (rounds > 1 and self.method == "r2ec"):
            raise ConfigError(f"{path}.rounds", rounds, "must be at least 1, and is for rporec alone", "leave it out")
        config: Any
        if self.method == "r2ec":
            from reckon.methods.r2ec.config import R2ecConfig
            from reckon.methods.r2ec.config import preset as r2ec_preset

            config = config_from(R2ecConfig, rest, preset_of(r2ec_preset, preset, self.arm, path), path)
        else:
            from reckon.methods.rporec.config import RPORecConfig
            from reckon.methods.rporec.config import preset as rporec_preset

            config = config_from(RPORecConfig, rest, preset_of(rporec_preset, preset, self.arm, path), path)
        return ModelSettings(backbone=backbone, config=config, rounds=rounds)

    def identity(self, settings: ModelSettings) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "rounds": settings.rounds,
            "config": identified(to_dict(settings.config)),
            "backbone": identified(settings.backbone, "backbone"),
        }

    def fit(
        self,
        dataset: Dataset,
        settings: ModelSettings,
        protocol: ProtocolConfig,
        seed: int,
        folder: Path,
        on_progress: OnProgress,
    ) -> Fitted:
        config = settings.config
        section = "head" if self.method == "r2ec" else "rechead"
        masked = replace(getattr(config, section), exclude_seen=protocol.exclude_seen)
        window = min(config.prompt.window, protocol.window)
        config = replace(config, seed=seed, prompt=replace(config.prompt, window=window), **{section: masked})
        run = folder / "run"
        model = self._trained(dataset, settings, config, run, on_progress)
        return Fitted(RankedModel(model), window, model, **of_run(run))

    def _trained(
        self, dataset: Dataset, settings: ModelSettings, config: Any, run: Path, on_progress: OnProgress
    ) -> RankingModel:
        if self.method == "r2ec":
            from reckon.methods.r2ec import R2ec
            from reckon.methods.r2ec.trainer import fit
            from reckon.training.loop import StepShare

            if (run / "manifest.json").exists():  # whole, but the cell stopped before it was ranked
                return R2ec.from_pretrained(run)
            model = R2ec.from_backbone(settings.backbone, dataset, config)
            resume, told = last_checkpoint(run) is not None, [StepShare(on_progress)]
            fit(model, dataset, run, resume=resume, progress=False, callbacks=told)
            return model
        from reckon.methods.rporec import RPORec
        from reckon.runs.write import BEGUN_FILE

        if (run / "manifest.json").exists():
            return RPORec.from_pretrained(run)
        reader = RPORec.from_backbone(settings.backbone, dataset, config)
        resume = (run / BEGUN_FILE).exists()
        return reader.fit(dataset, run, rounds=settings.rounds, resume=resume, on_progress=on_progress)


def refuse_protocol(values: Mapping[str, Any], path: str, owned: Sequence[str]) -> None:
    """Refuse settings that are the protocol's. Raises ConfigError by the field's path."""
    for name in owned:
        section, _, key = name.rpartition(".")
        nested = values.get(section) if section else values
        if name in values or (isinstance(nested, Mapping) and key in nested):
            rule = "the protocol decides this for all methods alike"
            fix = "set `seeds` or a field of `protocol`" if key != "arm" else "name the arm as the method"
            raise ConfigError(f"{path}.{name}", values.get(name), rule, fix)


def preset_of(make: Callable[..., Any], name: Any, arm: str, path: str) -> Any:
    """A method's named constants. Raises ConfigError by the field's path for an unknown name."""
    try:
        return make(name, arm)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error.field}", error.value, error.rule, error.fix) from None


def identified(value: Any, name: str = "") -> Any:
    """Settings in which every folder, of a model or of traces, stands as what it holds: another in its place is
    noticed."""
    if isinstance(value, Mapping):
        return {key: identified(inner, str(key)) for key, inner in value.items()}
    if name in FOLDER_FIELDS and isinstance(value, str) and value not in (NEW, STATIC) and Path(value).is_dir():
        return f"files {_digest(Path(value))}"
    return value


def _digest(folder: Path) -> str:
    """sha256 of the names, sizes and both ends of all files in a folder."""
    digest = sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()} {size}\n".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(EDGE_BYTES))
            opened.seek(max(0, size - EDGE_BYTES))
            digest.update(opened.read(EDGE_BYTES))
    return digest.hexdigest()
