"""Training of any method from a dataset directory to a run directory, behind `reckon train METHOD`.

Entry point: `train_run`. It resolves settings and calls the method's own `train`, as comparisons do.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reckon.config import load_config
from reckon.data import Dataset
from reckon.errors import ConfigError
from reckon.locks import locked
from reckon.methods.method import WHOLE, Method, PresetName
from reckon.methods.registry import method_named
from reckon.runs.read import config_of
from reckon.runs.write import record_changes
from reckon.small_backbone.purpose import check_purpose
from reckon.training.arguments import run_config
from reckon.training.one_process import require_one_process
from reckon.training.resumed import changed_settings


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
        name: name of the method in `reckon.methods.registry`.
        data: dataset directory.
        out: run directory.
        backbone: hub id or folder of a causal language model.
        config_file: YAML file of settings, which win over the preset.
        preset, arm: initial settings; default: the settings of the run `start`, if one is given, else `paper` and
            `full`.
        overrides: `section.field=value` strings; they win over the file.
        resume: continue where the run stopped, with the settings of its start; of others only those of
            `reckon.training.resumed.MAY_CHANGE` are accepted, and recorded.
        seed: wins over the config's seed.
        options: options of this method (`Method.options`).

    Raises:
        ConfigError: a setting is wrong, backbone and `start` are both missing, the backbone was made for another task,
            or several processes were launched.
        DataError: the data set does not fit the method.
        CheckpointError: `out` holds a run already, there is nothing to resume, or a setting of the resume is another.
    """
    require_one_process()
    method, out, dataset = method_named(name), Path(out), Dataset.load(data)
    start = options.get("start")
    if backbone is None and start is None:
        rule = "give either a backbone or --start, a finished run" if method.continues else "is missing"
        raise ConfigError("--backbone", backbone, rule, "name one")
    base = _first_settings(method, preset, arm, start)
    saved = out / method.settings_file
    began = config_of(out, type(base), method.settings_file) if resume and saved.exists() else None
    config = run_config(base, saved, config_file, overrides, resume=resume, seed=seed)
    if began is not None:
        asked = config
        if preset is not None or arm is not None or config_file is not None:
            asked = run_config(base, saved, config_file, overrides, resume=False, seed=seed)
        changed = changed_settings(out, began, asked)
        record_changes(out, changed)
        config = load_config(type(base), saved, [f"{name}={new}" for name, (_, new) in changed.items()])
    if backbone is not None:
        check_purpose(backbone, "--backbone", name, method.backbone_task, config.prompt.style)
    return method.train(config, dataset, backbone, out, resume=resume, **options)


def _first_settings(method: Method, preset: str | None, arm: str | None, start: str | Path | None) -> Any:
    """Initial settings, before a file and overrides change them."""
    if start is None or preset is not None:
        return method.preset(preset or "paper", arm or WHOLE)
    config: Any = config_of(Path(start), method.config)
    return config if arm is None else replace(config, arm=arm)
