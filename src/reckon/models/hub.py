"""Names of models: told apart from mistyped paths, and looked up in the hub once.

Entry point: `check_hub_id`. Without it a slip is looked up for a minute, since the hub's library tries again and again.
"""

from pathlib import Path

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError

from reckon.errors import CheckpointError

CONFIG = "config.json"
PATIENCE = 10.0  # seconds for the first answer of the hub


def check_hub_id(path: str) -> None:
    """Refuse a name that can only be a path, and a hub that does not answer.

    Raises:
        CheckpointError: there is a file of that name, no such folder, or no connection to the hub. What the hub itself
            says of a model is left to who loads it.
    """
    here = Path(path).expanduser()
    if here.exists():
        raise CheckpointError(path, "is no folder", "give a hub id or a folder with config.json, weights and tokenizer")
    cached = isinstance(_cached(path), str)
    parts = path.replace("\\", "/").split("/")
    local = here.is_absolute() or len(parts) > 2 or "" in parts or parts[0] in (".", "..", "~") or "\\" in path
    if not local and len(parts) == 2 and Path(parts[0]).is_dir():  # a folder may bear an organisation's name
        local = not cached
    if local:
        fix = "check the path, or give a hub id such as Qwen/Qwen3-0.6B"
        raise CheckpointError(path, "there is no such folder", fix)
    if not cached and not constants.HF_HUB_OFFLINE:
        _ask(path)


def _cached(path: str) -> object:
    try:
        return try_to_load_from_cache(path, CONFIG)
    except ValueError:  # no name of the hub
        return None


def _ask(name: str) -> None:
    try:
        HfApi().model_info(name, timeout=PATIENCE)
    except (HfHubHTTPError, ValueError):
        return
    except Exception as error:  # of whichever HTTP client the library uses
        problem = f"there is no such folder, and the hub does not answer ({error})"
        raise CheckpointError(name, problem, "check the path, or the network") from None
