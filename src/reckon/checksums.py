"""Checksums of the files of a folder that Reckon wrote: a run, a checkpoint, a backbone, a data set.

Entry points: `checksummed` around the writing of files, `write_checksums` for files that are there, `check_files`
before they are read. The checksums are in `checksums.json` of the folder; it is written last, so a folder with it is
whole. A folder below may have its own, whose checksum is then one of those above.

`check_files(folder)` skips the check inside `with checking(False)`, which `--no-verify` and `verify=False` open.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from reckon.errors import CheckpointError, ReckonError
from reckon.files import write_text
from reckon.identity import file_digest
from reckon.json_file import COPY_AGAIN, Each, Maybe, read_json
from reckon.messages import one_line

CHECKSUMS_FILE = "checksums.json"
READ = (".json", ".jinja", ".safetensors", ".bin", ".model", ".parquet")  # endings of files that libraries look for
FIX = f"{COPY_AGAIN}, or read it as it is with --no-verify (verify=False in Python)"

_checking: ContextVar[bool] = ContextVar("checking", default=True)
log = logging.getLogger(__name__)


@contextmanager
def checking(wanted: bool) -> Iterator[None]:
    """Whether files are checked inside the block; a block inside another one cannot switch the check on again."""
    token = _checking.set(_checking.get() and wanted)
    try:
        yield
    finally:
        _checking.reset(token)


def is_checking() -> bool:
    """Whether files are checked here."""
    return _checking.get()


@contextmanager
def checksummed(folder: Path) -> Iterator[set[str]]:
    """Around the writing of files into a folder: checksums of earlier ones go before, those of the files come after.

    The block adds the names of the files, or of folders with all their files, to the set; none means all of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)
    names: set[str] = set()
    yield names
    write_checksums(folder, names or None)


def add_checksums(folder: Path, names: Iterable[str]) -> None:
    """Add files to those with a checksum."""
    known = _read(folder)["files"] if (folder / CHECKSUMS_FILE).exists() else {}
    write_checksums(folder, {*known, *names})


def write_checksums(folder: Path, names: Iterable[str] | None = None, *, beside: Path | None = None) -> None:
    """Write the checksums of a folder's files.

    Args:
        folder: where the files are, and where `checksums.json` is written.
        names: files, or folders with all their files; None: all files of the folder and below it.
        beside: a folder elsewhere that the files need: the base model of adapters.
    """
    files = sorted(_files_of(folder, names))
    about: dict[str, Any] = {"files": {name: file_digest(folder / name) for name in files}}
    if beside is not None:
        about["beside"] = {"folder": str(beside), "files": _weights_of(beside)}
    write_text(folder / CHECKSUMS_FILE, json.dumps(about, indent=2))


def check_files(
    folder: Path,
    *,
    closed: bool = False,
    required: bool = False,
    older: Mapping[str, str] | None = None,
    error: Callable[[str, str, str], ReckonError] = CheckpointError,
) -> None:
    """Refuse a folder with a file that is not as it was written.

    Args:
        folder: a folder with `checksums.json`. Without it one line warns that nothing can be checked.
        closed: whether a further file beside the others, of a kind that libraries read, is refused, too.
        required: whether the folder must have checksums.
        older: checksums by file, of a folder that keeps some elsewhere and may lack `checksums.json`.
        error: class of the error.

    Raises:
        ReckonError: of the class `error`: a file is missing, was changed, or was added.
    """
    if not _checking.get():
        return
    if not (folder / CHECKSUMS_FILE).exists():
        if required:
            raise error(str(folder / CHECKSUMS_FILE), "is missing", FIX)
        if older is None:
            _warn_once(str(folder.resolve()))
        problem = _first_changed(folder, older or {})
    else:
        problem = damage_of(folder, closed=closed)
    if problem is not None:
        raise error(*problem, FIX)


def check_newest(folder: Path, names: Iterable[str]) -> None:
    """Refuse a growing folder whose last file by name is not as the folder's checksums say.

    Args:
        folder: the folder.
        names: files that are there; one behind all those with a checksum passes.

    Raises:
        CheckpointError: it was changed, or is missing.
    """
    if _checking.get() and (folder / CHECKSUMS_FILE).exists():
        known = _read(folder)["files"]
        newest = max([*names, *known], default="")
        problem = _first_changed(folder, {newest: known[newest]} if newest in known else {})
        if problem is not None:
            raise CheckpointError(*problem, FIX)


def damage_of(folder: Path, *, closed: bool = False) -> tuple[str, str] | None:
    """The first file that is not as the folder's checksums say, and what is wrong; None where all are."""
    try:
        about = _read(folder)
    except CheckpointError as error:
        return str(error.path), error.problem
    problem = _first_changed(folder, about["files"])
    if problem is None and closed:
        problem = _first_added(folder, about["files"])
    beside = about.get("beside")
    if problem is None and beside is not None and Path(beside["folder"]).is_dir():  # else it cannot be loaded
        problem = _first_changed(Path(beside["folder"]), beside["files"])
    return problem


def _read(folder: Path) -> dict[str, Any]:
    beside = Maybe({"folder": str, "files": Each(str)})
    about: dict[str, Any] = read_json(folder / CHECKSUMS_FILE, {"files": Each(str), "beside": beside})
    return about


def _first_changed(folder: Path, files: Mapping[str, str]) -> tuple[str, str] | None:
    for name, digest in files.items():
        try:
            found = file_digest(folder / name)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # of a NUL in a damaged name
            return str(folder / name), "is missing"
        except IsADirectoryError:
            return str(folder / name), "is a folder, not a file"
        if found != digest:
            return str(folder / name), "is damaged or was changed (its checksum is another)"
    return None


def _first_added(folder: Path, files: Mapping[str, str]) -> tuple[str, str] | None:
    here = {path.name for path in folder.iterdir() if path.is_file()} - {CHECKSUMS_FILE}
    read = [name for name in sorted(here - set(files)) if name.endswith(READ)]
    return (str(folder / read[0]), "was added after the others were written") if read else None


def _files_of(folder: Path, names: Iterable[str] | None) -> set[str]:
    """Names of files below a folder, without its own `checksums.json`."""
    paths: list[Path] = []
    for path in [folder] if names is None else [folder / name for name in names]:
        paths += path.rglob("*") if path.is_dir() else [path]
    found = {path.relative_to(folder).as_posix() for path in paths if path.is_file()}
    return found - {CHECKSUMS_FILE}


def _weights_of(folder: Path) -> dict[str, str]:
    files = [*folder.glob("*.safetensors"), folder / "config.json"]
    return {path.name: file_digest(path) for path in sorted(files) if path.is_file()}


@lru_cache(maxsize=1 << 10)
def _warn_once(folder: str) -> None:
    log.warning(one_line(f"{folder} has no {CHECKSUMS_FILE}, so damage to its files would go unnoticed."))
