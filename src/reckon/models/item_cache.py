"""A cache on disk of item rows that an untrained model encodes, by the weights and the texts they come from.

Entry point: `cached_rows`. Every training from the same weights begins with the same rows, which a language model of
135 M parameters encodes for minutes on two cores. Rows that are quick to encode are not cached.
"""

import hashlib
import json
import logging
import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reckon.files import whole_file
from reckon.models.backbone import Backbone

FOLDER = "RECKON_CACHE"  # environment variable: the folder of the cache
WORTH = 1 << 40  # parameters times tokens from which rows are cached: 8,000 tokens of a model of 135 M
MOST = 16  # files of the cache, the latest used

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`RECKON_CACHE`, else `reckon` in the user's cache folder."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reckon"


def cached_rows(backbone: Backbone, prompts: Sequence[Sequence[int]], encode: Callable[[], Tensor]) -> Tensor:
    """What `encode` returns for these prompts, from the cache where an earlier call wrote it: [n, D] float32.

    Args:
        backbone: whose weights, configuration and dtype the rows depend on.
        prompts: token ids of each item prompt.
        encode: encodes them all; called where they are not cached, or not readable.
    """
    tokens = sum(map(len, prompts))
    if tokens * backbone.causal_lm.num_parameters() < WORTH:
        return encode()
    path = cache_folder() / f"items-{_key(backbone, prompts)}.safetensors"
    rows = _read(path, (len(prompts), backbone.hidden_size))
    if rows is None:
        rows = encode()
        _write(path, rows)
    return rows.to(backbone.device)


def _key(backbone: Backbone, prompts: Sequence[Sequence[int]]) -> str:
    config = backbone.config.to_dict()
    config.pop("_name_or_path", None)  # the same model elsewhere is the same
    about = [backbone.fingerprint(), backbone.dtype, json.dumps(config, sort_keys=True, default=str), len(prompts)]
    digest = hashlib.sha256(repr(about).encode())
    digest.update(array("q", map(len, prompts)).tobytes())
    for prompt in prompts:
        digest.update(array("q", prompt).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Cached rows, if they are whole; the file then counts as used."""
    try:
        rows = load_file(path)["rows"]
        path.touch()
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    fits = rows.dtype == torch.float32 and tuple(rows.shape) == shape and bool(rows.isfinite().all())
    return rows if fits else None


def _write(path: Path, rows: Tensor) -> None:
    """Write rows and drop the files that were not used for longest. A folder that cannot be written costs a warning."""
    try:
        with whole_file(path) as part:
            save_file({"rows": rows.detach().cpu().contiguous()}, part)
        files = sorted(path.parent.glob("items-*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in files[MOST:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("encoded items are not cached in %s: %s", path.parent, error.strerror)
