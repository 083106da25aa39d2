"""The description of a method: the entry of the registry.

Entry points: `Method`, with instances in `reckon.methods.registry`, and `Option`, a training argument of one method.
Imports neither torch nor a data library, because the command line is built from these entries and must start fast.
Heavy parts are import paths, `module:name`, imported on first use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from reckon.errors import ConfigError

Task = Literal["ranking", "rating"]
PresetName = Literal["paper", "as_released", "small", "quick", "laptop"]
PRESETS: tuple[PresetName, ...] = ("paper", "as_released", "small")  # of every method
WHOLE = "full"  # name of the arm without ablation


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An argument of one method's `train`, in addition to the arguments of all methods."""

    name: str
    """Argument name of `train`; `--name` on the command line."""
    help: str
    kind: type = str
    """Type of the value: str, int or Path."""
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    """Allowed values; empty: any value."""
    least: int | None = None
    """Least allowed value of an int."""
    metavar: str | None = None
    compared: bool = False
    """Whether a comparison's config may set it, too."""
    fix: str = "leave it out"
    """Fix in errors about a missing or wrong value."""

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def checked(self, value: Any, field: str, method: str) -> Any:
        """Check a value from a comparison's config. Raises ConfigError with the path of the field."""
        if value is None and not self.required:
            return self.default
        plain = str if self.kind is Path else self.kind
        if not isinstance(value, plain) or isinstance(value, bool):
            rule = f"{method} needs {'a number' if plain is int else 'its name'}"
            raise ConfigError(field, value, rule, self.fix)
        if isinstance(value, int) and self.least is not None and value < self.least:
            raise ConfigError(field, value, f"must be at least {self.least}", self.fix)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """All that the command line, comparisons, evaluation and pages need of a method."""

    name: str
    """Name in commands and configs."""
    title: str
    """Title, such as `R2ec`."""
    task: Task
    summary: str
    """One sentence for `--help`."""
    arms: Mapping[str, str]
    """Names in tables of the whole method (`full`) and of its ablations, by arm."""
    arms_help: str
    contestants: tuple[str, ...] = (WHOLE,)
    """Arms that a comparison can name."""
    presets: tuple[PresetName, ...] = PRESETS
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Default search space: settings, each with its values."""
    masking: str | None = None
    """Section with the setting `exclude_seen`, which a comparison's protocol decides; None for methods that predict
    ratings."""
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...]
    """Example command lines for `--help`, without `reckon train NAME`."""
    config_example: str = ""
    """An example for the help of `reckon config NAME`."""
    backbone_task: str
    """Task of `reckon backbone new` for this method's prompts."""
    saved_as: str
    """File that every saved model of this method has."""
    settings_file: str = "config.yaml"
    """File with the settings of a run, in its run directory."""
    reply_end: str | None = None
    """Import path of the text that ends a reply, for methods whose replies a teacher can write."""
    teacher_help: str = ""
    """Help text for the teacher's options."""
    config_path: str
    """Import path of the config class: a frozen dataclass with fields `arm`, `seed` and `prompt`."""
    preset_path: str
    """Import path of `preset(name, arm) -> config`."""
    train_path: str
    """Import path of `train(config, dataset, backbone, out, *, resume, progress, on_progress, **options) -> model`. It
    trains into a run directory; `resume=None` resumes an existing run and starts a new one otherwise."""
    model_path: str
    """Import path of the class whose `from_pretrained(run)` loads what `train` saved. Its module imports no trainer: a
    run that only recommends must start fast."""

    @property
    def needs_traces(self) -> bool:
        """Whether training starts from a teacher's traces."""
        return any(option.name == "traces" and option.required for option in self.options)

    @property
    def continues(self) -> bool:
        """Whether training can start from a finished run (`start`) in place of a backbone."""
        return any(option.name == "start" for option in self.options)

    @property
    def config(self) -> type:
        """The config class."""
        cls: type = imported(self.config_path)
        return cls

    @property
    def model(self) -> Any:
        """The class of the model."""
        return imported(self.model_path)

    def preset(self, name: str, arm: str = WHOLE) -> Any:
        """A preset of settings by name. Raises ConfigError for an unknown name."""
        return imported(self.preset_path)(name, arm)

    @property
    def train(self) -> Callable[..., Any]:
        """The training function; see `train_path`."""
        train: Callable[..., Any] = imported(self.train_path)
        return train

    def load(self, run: Path) -> Any:
        """Load the model of a finished run."""
        return self.model.from_pretrained(run)


def imported(path: str) -> Any:
    """Import the object of an import path `module:name`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def on_first_use(package: str, **paths: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are imported when they are first used.

    A class with `fit` is beside its trainer, which imports transformers' Trainer. Whoever imports another module of the
    package, such as the model, does not wait for that.

    Args:
        package: `__name__` of the package.
        paths: an import path for each name.
    """

    def attribute(name: str) -> Any:
        if name not in paths:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return imported(paths[name])

    return attribute
