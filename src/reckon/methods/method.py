"""What Reckon knows of a method before anything of it is imported.

Entry points: `Method`, whose entries are in `reckon.methods.registry`, and `Option`, for what only one method asks.
Imports neither torch nor a data library: the command line is made from these entries and must answer at once. What is
heavy stands as an import path, `module:name`, and is imported when it is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

from reckon.errors import ConfigError

Task = Literal["ranking", "rating"]
PresetName = Literal["paper", "as_released", "small"]
PRESETS: tuple[PresetName, ...] = get_args(PresetName)
WHOLE = "full"  # the arm that is the whole method


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An argument of a method's `train` beside those of every method."""

    name: str
    """As `train` takes it; `--name` on the command line."""
    help: str
    kind: type = str
    """str, int or Path."""
    default: Any = None
    required: bool = False
    choices: tuple[str, ...] = ()
    """All that may be given; empty: anything."""
    least: int | None = None
    """Of whole numbers."""
    metavar: str | None = None
    compared: bool = False
    """Whether it is a setting of the method in a comparison too."""
    fix: str = "leave it out"
    """What to do where it is missing or wrong."""

    @property
    def flag(self) -> str:
        """As the command line spells it."""
        return f"--{self.name.replace('_', '-')}"

    def checked(self, value: Any, field: str, method: str) -> Any:
        """The value as a comparison's file gives it. Raises ConfigError by the field's path."""
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
    """A method: what the command line, comparisons, evaluation and pages ask about it."""

    name: str
    """As commands and configs call it."""
    title: str
    """As people call it."""
    task: Task
    summary: str
    """One sentence, for `--help`."""
    arms: Mapping[str, str]
    """The whole method (`full`) and its ablations, each with its name in tables."""
    arms_help: str
    contestants: tuple[str, ...] = (WHOLE,)
    """Arms that a comparison can name, by their names in tables."""
    presets: tuple[PresetName, ...] = PRESETS
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Settings worth tuning, each with its values."""
    masking: str | None = None
    """Of methods that rank: the section whose `exclude_seen` a comparison's protocol decides."""
    options: tuple[Option, ...] = ()
    examples: tuple[str, ...]
    """Options of command lines shown under `--help`, without `reckon train NAME`."""
    config_example: str = ""
    """The same for `reckon config NAME`."""
    backbone_task: str
    """Task of `reckon backbone new` whose prompts the method reads."""
    saved_as: str
    """File that marks the folder of a saved model."""
    settings_file: str = "config.yaml"
    """File of a run directory that holds the settings the run began with."""
    reply_end: str | None = None
    """Import path of the text that ends a reply, of methods for which a teacher may write replies."""
    teacher_help: str = ""
    """What such a teacher writes."""
    config_path: str
    """Import path of the config class: a frozen dataclass with fields `arm`, `seed` and `prompt`."""
    preset_path: str
    """Import path of `preset(name, arm) -> config`."""
    train_path: str
    """Import path of `train(config, dataset, backbone, out, *, resume, progress, on_progress, **options) -> model`. It
    trains into a run directory; `resume=None` goes on where there is something to go on from, and starts otherwise."""
    model_path: str
    """Import path of the class whose `from_pretrained(run)` loads what `train` saved."""

    @property
    def needs_traces(self) -> bool:
        """Whether training starts from a teacher's traces."""
        return any(option.name == "traces" and option.required for option in self.options)

    @property
    def continues(self) -> bool:
        """Whether training may go on from a finished run (`start`) in place of a backbone."""
        return any(option.name == "start" for option in self.options)

    @property
    def config(self) -> type:
        """The config class."""
        cls: type = imported(self.config_path)
        return cls

    @property
    def model(self) -> Any:
        """The model's class."""
        return imported(self.model_path)

    def preset(self, name: str, arm: str = WHOLE) -> Any:
        """A named set of constants. Raises ConfigError for an unknown name."""
        return imported(self.preset_path)(name, arm)

    @property
    def train(self) -> Callable[..., Any]:
        """The function that trains; see `train_path`."""
        train: Callable[..., Any] = imported(self.train_path)
        return train

    def load(self, run: Path) -> Any:
        """The model of a finished run."""
        return self.model.from_pretrained(run)


def imported(path: str) -> Any:
    """What an import path `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
