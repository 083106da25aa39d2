"""Read what a finished run left behind: its settings, its log, what identifies it, the data it was trained on.

Entry points: `check_run`, `config_of`, `facts_of`, `histories_of`, `dataset_of`. The directory is described in
`reckon.runs.write`. Loads no model and knows no method: a run's task and its name in tables are in
`reckon.methods.finished`.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from reckon.checksums import CHECKSUMS_FILE, check_files
from reckon.config import load_config, read_settings
from reckon.data import Dataset
from reckon.data.dataset import WORDS
from reckon.errors import CheckpointError, ConfigError
from reckon.json_file import COPY_AGAIN, Each, Maybe, read_json

ConfigT = TypeVar("ConfigT")
CONFIG_FILE, LOG_FILE, MANIFEST_FILE = "config.yaml", "log.json", "manifest.json"
MODEL_FOLDER = "model"
MODEL_CHECKSUMS = f"{MODEL_FOLDER}/{CHECKSUMS_FILE}"
MANIFEST = {
    "method": str,
    "arm": str,
    "stage": Maybe(str),
    "seed": Maybe(int),
    "data": {"checksum": str, "split": Maybe(str)},
    "training_seconds": Maybe(float),
    "backbone": Maybe(str),
    "checksums": Maybe(str),
}  # shape of manifest.json


def check_run(run: Path) -> None:
    """Refuse a run, or a saved model, with a file that is not as it was written."""
    manifest = run / MANIFEST_FILE
    required = manifest.exists() and "checksums" in read_json(manifest, dict)
    check_files(run, required=required)


def config_of(run: Path, cls: type[ConfigT], name: str = CONFIG_FILE) -> ConfigT:
    """The settings of a saved model, or those with which a run began.

    Args:
        run: the folder.
        cls: class of the settings.
        name: their file.

    Raises:
        CheckpointError: they cannot be read, or lack a section, which would be read as its defaults.
    """
    file = run / name
    try:
        found = read_settings(file)
        for field in fields(cls):  # type: ignore[arg-type]
            if field.name not in found:
                raise CheckpointError(file, f"is damaged (it has no {field.name})", COPY_AGAIN)
        return load_config(cls, file)
    except ConfigError as error:
        problem = f"is missing or damaged ({error.field}: {error.rule})"
        raise CheckpointError(file, problem, COPY_AGAIN) from error


def manifest_of(run: Path) -> dict[str, Any]:
    """What `write_run` recorded. Raises CheckpointError where there is no readable manifest."""
    if not (run / MANIFEST_FILE).exists():
        raise CheckpointError(
            run, f"is not a finished run (no {MANIFEST_FILE})", "give the directory of `reckon train`, once ended"
        )
    manifest: dict[str, Any] = read_json(run / MANIFEST_FILE, MANIFEST)
    return manifest


def meta_of(file: Path, **further: Any) -> dict[str, Any]:
    """What a saved model's own file, `METHOD.json`, holds; `further` are entries with their shapes.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    meta: dict[str, Any] = read_json(file, {"words": dict.fromkeys(WORDS, str), "data": (str, None), **further})
    return meta | {"words": {name: meta["words"][name] for name in WORDS}}


def log_of(run: Path) -> list[dict[str, float]]:
    """Every logged step and validation of a finished run. Raises CheckpointError where it is damaged."""
    log: list[dict[str, float]] = read_json(run / LOG_FILE, [Each((float, bool, str, None))])
    return log


class Outcome(NamedTuple):
    """Which validated state a finished run kept."""

    words: str
    """One sentence."""
    improved: bool
    """Whether that state is better than the start."""


def outcome_of(run: Path) -> Outcome:
    """Which validated state a finished run kept, and whether it is better than the start."""
    for entry in reversed(log_of(run)):
        if "outcome" in entry and isinstance(entry.get("kept_step"), int):
            return Outcome(str(entry["outcome"]), entry["kept_step"] > 0)
    raise CheckpointError(run / LOG_FILE, "does not say which state was kept", COPY_AGAIN)


def facts_of(run: Path) -> dict[str, str]:
    """What identifies a run: its manifest and its resolved config."""
    facts = {name.replace("_", " "): _plain(value) for name, value in manifest_of(run).items() if name != "checksums"}
    return facts | {"config": (run / CONFIG_FILE).read_text(encoding="utf-8").strip()}


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
