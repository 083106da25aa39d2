"""The comparisons that come with Reckon, as config files in the package.

Entry points: `shipped_names`, `shipped_file`. Imports nothing heavy: `reckon config compare` answers at once.
"""

import difflib
from pathlib import Path

from reckon.errors import ConfigError

FOLDER = Path(__file__).parent / "configs"


def shipped_names() -> dict[str, str]:
    """Their names, each with the first line of its file, a comment on what it compares."""
    files = sorted(FOLDER.glob("*.yaml"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for file in files}


def shipped_file(name: str, field: str = "--config") -> Path:
    """The file of that name. Raises ConfigError about the field for an unknown one."""
    names = shipped_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        fix = f"did you mean {near[0]}" if near else f"give a file, or one of {', '.join(names)}"
        raise ConfigError(field, name, "is neither a file nor the name of a shipped comparison", fix)
    return FOLDER / f"{name}.yaml"
