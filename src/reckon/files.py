"""Write a file or a directory whole or not at all.

Entry points: `whole_file` for any writer, `write_text`, `new_directory`; `file_sha256` of a file's bytes. A reader of
the path sees the old content or the new one, never half of either.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reckon.errors import DataError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary name beside the path, for any writer; it becomes the path when the block ends.

    A block that fails leaves what was there before, and no temporary file.
    """
    path = real_path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _hidden_sibling(path, "part")
    try:
        part.touch(mode=0o600, exist_ok=False)
        yield part
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.chmod(0o644)  # private so far; results are meant to be shared
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text with line feeds; a crash leaves what was there before."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


@contextmanager
def new_directory(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A hidden sibling of `out` that becomes `out` when the block ends, and vanishes when the block fails."""
    out = real_path(out)
    check_target(out, overwrite=overwrite)
    with parents_of(out):
        folder = _hidden_sibling(out, "partial")
        try:
            folder.mkdir(mode=0o700)
            yield folder
            folder.chmod(0o755)  # private so far; a dataset is shared
            put_in_place(folder, out, overwrite=overwrite)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _hidden_sibling(path: Path, kind: str) -> Path:
    """A name beside the path that nobody has. It is known before it is made, so whoever makes it can remove it even
    where a signal comes in between."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}")


@contextmanager
def parents_of(out: Path) -> Iterator[None]:
    """Make the folders above `out`; take away those made here when the block fails."""
    missing = [parent for parent in out.parents if not parent.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in missing:  # innermost first
            if any(parent.iterdir()):
                break
            parent.rmdir()
        raise


def real_path(path: str | Path) -> Path:
    """Where a path leads. What is written goes there, and a link stays a link.

    Raises:
        DataError: the name is none that a program can hand on.
    """
    name = os.fspath(path)
    if "\0" in name or any("\ud800" <= char <= "\udfff" for char in name):
        raise DataError(ascii(name)[1:-1], "is no name in UTF-8", "choose another name")
    return Path(os.path.realpath(name))


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse a target that would lose something. Called early, so that nobody waits an hour for this."""
    if out.exists() and not out.is_dir():
        raise DataError(str(out), "is no directory", "name a directory that does not exist yet")
    above = next(parent for parent in out.parents if parent.exists())
    if not above.is_dir():
        raise DataError(str(above), "is no directory", "choose another path")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not overwrite:
        raise DataError(str(out), "exists and is not empty", "choose another OUT, or pass --overwrite to replace it")
    if not (out / "dataset.json").exists():
        raise DataError(str(out), "is not a dataset directory, so it is not overwritten", "choose another OUT")


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_in_place(folder: Path, out: Path, *, overwrite: bool) -> None:
    """Rename a finished directory to `out`, on the same disk. What stood there is lost only after that worked."""
    out = real_path(out)
    check_target(out, overwrite=overwrite)
    if not out.exists():
        folder.rename(out)
        return
    old = _hidden_sibling(out, "old")
    old.mkdir(mode=0o700)
    out.rename(old / out.name)
    try:
        folder.rename(out)
    except BaseException:
        (old / out.name).rename(out)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
