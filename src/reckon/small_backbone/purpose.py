"""What a small backbone was made for: recorded in its folder, checked before it is trained.

Entry points: `record_purpose`, for `reckon backbone new`; `check_purpose`, for trainings and comparisons. A folder
without a record, such as an open model, fits every method.
"""

import json
import logging
from pathlib import Path

from reckon import __version__
from reckon.errors import ConfigError
from reckon.files import write_text
from reckon.json_file import read_json
from reckon.messages import one_line

PURPOSE_FILE = "reckon_purpose.json"
STYLE, PRESET = "compact", "small"  # the only prompts that small backbones read, and the preset that has them

log = logging.getLogger(__name__)


def record_purpose(folder: Path, task: str) -> None:
    """Record in a backbone's folder for which task of `reckon backbone new` it was made."""
    write_text(folder / PURPOSE_FILE, json.dumps({"task": task, "reckon": __version__}, indent=2) + "\n")


def check_purpose(backbone: str | Path, field: str, method: str, task: str, style: str) -> None:
    """Refuse a small backbone of another task; warn of prompts that it never read.

    Args:
        backbone: folder or hub id.
        field: the setting that names it, for messages.
        method, task: what it will be trained as, and the task of `reckon backbone new` that fits.
        style: `prompt.style` of the training.

    Raises:
        ConfigError: it was made for another task.
        CheckpointError: the record is damaged.
    """
    file = Path(backbone) / PURPOSE_FILE
    if not file.is_file():
        return
    made_for = read_json(file, {"task": str}, fix="make the backbone again: reckon backbone new")["task"]
    if made_for != task:
        raise ConfigError(
            field,
            str(backbone),
            f"was made with --task {made_for}, and {method} has other prompts",
            f"make one for it: reckon backbone new --task {task}",
        )
    if style != STYLE:
        told = f"{backbone} reads {STYLE} prompts alone, and prompt.style is {style}: the preset {PRESET} fits it"
        log.warning("%s", one_line(told))
