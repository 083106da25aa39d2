"""Rows of the item table kept on disk, by the weights and the texts that they come from.

Entry point: `kept_rows`. A language model of 135 M parameters reads 3,686 item texts for minutes on two cores, and
every training from the same weights begins with them. Rows that are quick to encode are not kept.
"""

import hashlib
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

FOLDER = "RECKON_CACHE"  # environment variable: where the rows are kept
WORTH = 1 << 40  # parameters times tokens above which reading is slower than keeping: 135 M times 8,000
MOST = 16  # tables that are kept, the latest used

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`RECKON_CACHE`, else `reckon` in the user's cache folder."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reckon"


def kept_rows(backbone: Backbone, prompts: Sequence[Sequence[int]], encode: Callable[[], Tensor]) -> Tensor:
    """What `encode` returns for these prompts [n, D], from the cache where an earlier call kept it.

    Args:
        backbone: whose weights and dtype the rows depend on.
        prompts: token ids of each item prompt.
        encode: encodes them all; called where they are not kept, or not readable.
    """
    tokens = sum(map(len, prompts))
    if tokens * backbone.causal_lm.num_parameters() < WORTH:
        return encode()
    path = cache_folder() / f"items-{_key(backbone, prompts)}.safetensors"
    rows = _read(path, (len(prompts), backbone.hidden_size))
    if rows is None:
        rows = encode()
        _keep(path, rows)
    return rows.to(backbone.device)


def _key(backbone: Backbone, prompts: Sequence[Sequence[int]]) -> str:
    digest = hashlib.sha256(f"{backbone.fingerprint()} {backbone.dtype} {len(prompts)}".encode())
    digest.update(array("q", map(len, prompts)).tobytes())
    for prompt in prompts:
        digest.update(array("q", prompt).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Kept rows, if they are whole; the file then counts as used."""
    try:
        rows = load_file(path)["rows"]
        path.touch()
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    fits = rows.dtype == torch.float32 and tuple(rows.shape) == shape and bool(rows.isfinite().all())
    return rows if fits else None


def _keep(path: Path, rows: Tensor) -> None:
    """Write rows and drop the tables that were not used for longest; without room for them, go on without."""
    try:
        with whole_file(path) as part:
            save_file({"rows": rows.detach().cpu().contiguous()}, part)
        kept = sorted(path.parent.glob("items-*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in kept[MOST:]:
            old.unlink(missing_ok=True)
    except OSError as error:
        log.warning("encoded items are not kept in %s: %s", path.parent, error.strerror)
