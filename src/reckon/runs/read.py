"""Read what a finished run left behind: its settings, its log, what identifies it, the data it was trained on.

Entry points: `config_of`, `facts_of`, `histories_of`, `dataset_of`. The directory is described in `reckon.runs.write`.
Knows no method: a run's task and its name in tables are in `reckon.methods.finished`. Loads no model.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from reckon.config import load_config
from reckon.data import Dataset
from reckon.errors import CheckpointError, ConfigError

ConfigT = TypeVar("ConfigT")


def config_of(run: Path, cls: type[ConfigT]) -> ConfigT:
    """The settings that `save_pretrained` left with a model. Raises CheckpointError where they cannot be read."""
    try:
        return load_config(cls, run / "config.yaml")
    except ConfigError as error:
        raise CheckpointError(
            run, f"config.yaml is missing or damaged ({error.field}: {error.rule})", "copy the whole run again"
        ) from error


def manifest_of(run: Path) -> dict[str, Any]:
    """What `write_run` recorded. Raises CheckpointError where there is no readable manifest."""
    try:
        return json.loads((run / "manifest.json").read_text())
    except (OSError, ValueError):
        raise CheckpointError(
            run, "is not a finished run (no readable manifest.json)", "give the directory of `reckon train`, once ended"
        ) from None


def log_of(run: Path) -> list[dict[str, float]]:
    """Every logged step and validation of a finished run."""
    log: list[dict[str, float]] = json.loads((run / "log.json").read_text(encoding="utf-8"))
    return log


class Outcome(NamedTuple):
    """Which validated state a finished run kept."""

    words: str
    """One sentence."""
    improved: bool
    """Whether that state is better than the start."""


def outcome_of(run: Path) -> Outcome:
    """Which validated state a finished run kept, and whether it is better than the start."""
    last = next(entry for entry in reversed(log_of(run)) if "outcome" in entry)
    return Outcome(str(last["outcome"]), last["kept_step"] > 0)


def facts_of(run: Path) -> dict[str, str]:
    """What identifies a run: its manifest and its resolved config."""
    facts = {name.replace("_", " "): _plain(value) for name, value in manifest_of(run).items()}
    return facts | {"config": (run / "config.yaml").read_text().strip()}


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def histories_of(named: Mapping[str, Path]) -> dict[str, list[dict[str, float]]]:
    """Every logged step and validation of each run, by its name."""
    return {name: log_of(run) for name, run in named.items()}


def dataset_of(run: Path, recorded: Path | None, data: str | Path | None) -> Dataset:
    """The data a run was trained on; refuses other data, on which its test rows may have been training rows.

    Args:
        run: run directory.
        recorded: where the data was when the run was trained.
        data: where it is now; None: where it was.

    Raises:
        CheckpointError: nobody says where the data is, it is gone, or its checksum or split differs from that of
            the training.
    """
    path = Path(data) if data is not None else recorded
    if path is None:
        raise CheckpointError(run, "does not name its data set", "give it with --data")
    if data is None and not path.exists():
        raise CheckpointError(run, f"was trained on {path}, which is gone", "say where the data set is now: --data DIR")
    dataset = Dataset.load(path)
    check_trained_on(run, dataset)
    return dataset


def check_trained_on(run: Path, dataset: Dataset) -> None:
    """Refuse a data set that a run was not trained on: another checksum, or other rows held out of the same data.

    A manifest without a split is refused, too: nobody can say which rows of the data were trained on.
    """
    trained = manifest_of(run)["data"]
    if dataset.checksum != trained["checksum"]:
        raise CheckpointError(
            run,
            f"was trained on other data than {dataset.path} (checksums differ)",
            "give the data set of the training with --data",
        )
    if "split" not in trained:
        raise CheckpointError(
            run,
            "does not say under which split it was trained, so its test rows may be training rows",
            f'train it again, or, if you know that it was {dataset.protocol}, add "split": "{dataset.protocol}" to '
            '"data" in its manifest.json',
        )
    if dataset.protocol != trained["split"]:
        raise CheckpointError(
            run,
            f"was trained under the split {trained['split']}, and {dataset.path} has {dataset.protocol}: rows that it "
            "was trained on would be test rows",
            "give the data set of the training, with its own split, with --data",
        )
