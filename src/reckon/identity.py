"""What tells a file or a folder from any other: the sha256 of every byte.

Entry points: `file_digest`, `folder_digest`, `source_identity` for a setting that names a folder or a hub id. A file is
read once in a process; it is read again when its size, its time or its place on the disk has changed.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from reckon.files import file_sha256

ADAPTERS_FILE = "adapter_config.json"  # of PEFT: names the model that the adapters belong to


def file_digest(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    about = path.stat()
    return _digest(str(path.resolve()), about.st_size, about.st_mtime_ns, about.st_ino)


def folder_digest(folder: Path) -> str:
    """Hex sha256 of the names and contents of all files in a folder, and of the model that adapters in it belong to."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()} {file_digest(file)}\n".encode())
    base = _base_of_adapters(folder)
    if base is not None and base.resolve() != folder.resolve():
        digest.update(f"base {folder_digest(base)}\n".encode())
    return digest.hexdigest()


def source_identity(name: str | Path) -> str:
    """A folder as what it holds, `files DIGEST`; anything else, such as a hub id, as it is called."""
    return f"files {folder_digest(Path(name))}" if Path(name).is_dir() else str(name)


@lru_cache(maxsize=1 << 12)
def _digest(path: str, size: int, mtime_ns: int, inode: int) -> str:
    return file_sha256(Path(path))


def _base_of_adapters(folder: Path) -> Path | None:
    """The folder of the model under the adapters; None where there are no adapters, or of a model on the hub."""
    try:
        base = Path(json.loads((folder / ADAPTERS_FILE).read_text(encoding="utf-8"))["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if base.is_dir() else None
