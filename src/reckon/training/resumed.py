"""Settings of a resumed run: which may differ from those that it began with.

Entry point: `changed_settings`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reckon.config import to_dict
from reckon.errors import CheckpointError

MAY_CHANGE = ("max_steps", "eval_steps", "patience_steps", "report_to")  # how long, how often, told to whom
AUTO = "auto"  # a setting that the run has settled


def changed_settings(out: Path, began: Any, asked: Any) -> dict[str, tuple[Any, Any]]:
    """Settings that a resume changes, by dotted name: (before, now).

    Args:
        out: run directory, for the message.
        began: config that the run began with.
        asked: config that the resume asks for; `auto` agrees with whatever the run settled it to.

    Raises:
        CheckpointError: another setting than those of MAY_CHANGE differs; it lists each with both values.
    """
    before, now = _flat(to_dict(began)), _flat(to_dict(asked))
    changed = {
        name: (before.get(name), value) for name, value in now.items() if before.get(name) != value and value != AUTO
    }
    refused = {name: both for name, both in changed.items() if name.rpartition(".")[2] not in MAY_CHANGE}
    if refused:
        listed = ", ".join(f"{name} {old!r} → {new!r}" for name, (old, new) in refused.items())
        raise CheckpointError(
            out, f"was begun with other settings ({listed})", "resume it without them, or start another run"
        )
    return changed


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
