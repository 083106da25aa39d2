"""From a dataset directory and a backbone to a run directory, whatever the method: behind `reckon train METHOD`.

Entry point: `train_run`. What a method does between settings and model is its own `train`, which comparisons call too.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reckon.data import Dataset
from reckon.errors import ConfigError
from reckon.locks import locked
from reckon.methods.method import WHOLE, Method, PresetName
from reckon.methods.registry import method_named
from reckon.runs.read import config_of
from reckon.training.arguments import run_config
from reckon.training.one_process import require_one_process


@locked()
def train_run(
    name: str,
    *,
    data: str | Path,
    out: str | Path,
    backbone: str | Path | None = None,
    config_file: Path | None = None,
    preset: PresetName | None = None,
    arm: str | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    seed: int | None = None,
    **options: Any,
) -> Any:
    """Train a method into a run directory; returns the model.

    Args:
        name: of the method, as in `reckon.methods.registry`.
        data: dataset directory.
        out: run directory.
        backbone: hub id or folder of a causal language model.
        config_file: YAML over the preset.
        preset, arm: where the settings start; default: those of the run `start` where the method can go on from one,
            else `paper` and `full`.
        overrides: `section.field=value` strings; they win over the file.
        resume: go on where the run stopped, with the settings it began with.
        seed: wins over the config's seed.
        options: what only this method asks (`Method.options`).

    Raises:
        ConfigError: a setting is wrong, there is nothing to train, or several processes were launched.
        DataError: the data set does not fit the method.
        CheckpointError: `out` holds a run already, or there is nothing to resume.
    """
    require_one_process()
    method, out, dataset = method_named(name), Path(out), Dataset.load(data)
    start = options.get("start")
    if backbone is None and start is None:
        rule = "give either a backbone or --start, a run to go on from" if method.continues else "is missing"
        raise ConfigError("--backbone", backbone, rule, "name one")
    base = _first_settings(method, preset, arm, start)
    config = run_config(base, out / method.settings_file, config_file, overrides, resume=resume, seed=seed)
    return method.train(config, dataset, backbone, out, resume=resume, **options)


def _first_settings(method: Method, preset: str | None, arm: str | None, start: str | Path | None) -> Any:
    """Where the settings start, before a file and overrides change them."""
    if start is None or preset is not None:
        return method.preset(preset or "paper", arm or WHOLE)
    config: Any = config_of(Path(start), method.config)
    return config if arm is None else replace(config, arm=arm)
