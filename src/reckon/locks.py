"""One writer per output folder: a second process is told who holds it, and stops.

Entry points: `folder_lock` around what writes to a folder, `locked` for a function that takes the folder as `out`;
`scratch_of` for temporary files outside it.

The lock of OUT is the file `.OUT.lock` beside it. The operating system locks it, and frees it however its process ends.
The file says who holds it: process, computer, start, command. It is removed at the end; one that a crash has left is
taken over. Where two computers share a disk, the operating system may know of its own processes alone: the record of
another computer is believed until somebody deletes it.

A process that holds a folder may lock it again, and holds all folders inside. Whoever gets the lock removes what a
killed holder left half written: beside the folder, inside it, and in the temporary folder.

The package filelock would do the first half; it keeps no record that can be read while the lock is held, and leaves its
file behind.
"""

import functools
import inspect
import json
import os
import re
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from reckon.errors import BusyError, DataError
from reckon.files import real_path
from reckon.messages import cut
from reckon.stopping import delayed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

LOCKED_BYTE = 1 << 30  # on Windows a locked byte cannot be read, so it lies far behind the record
SHOWN_COMMAND = 60  # characters of a holder's command in a message
LONGEST_NAME = 200  # bytes; 255 is the most that a disk takes, and hidden names beside the folder are longer
SAME_START = 2.0  # seconds; a correction of the clock moves the start that the system reports
HALF_WRITTEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}\.(?P<kind>work|partial|old|part)")  # as `reckon.files` has it
LOCK = re.compile(r"\.(.+)\.lock")
MOST_LOOKED_AT = 100_000  # names in a folder; a run has hundreds
LOCK_NAME = ".*.lock"  # as a pattern of `Path.match`, for who lists a folder

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
_open: set[int] = set()  # descriptors of locks, which forked children close


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that writes to a folder."""

    pid: int
    host: str
    started: float | None
    """Seconds since 1970, as the system reports it; None where nobody can tell."""
    since: str
    """When the lock was taken, ISO 8601."""
    command: str

    @classmethod
    def here(cls) -> "Holder":
        """This process."""
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        command = shlex.join([Path(sys.argv[0] or sys.executable).name, *sys.argv[1:]])
        return cls(os.getpid(), socket.gethostname(), _start_of(os.getpid()), now, command)

    @classmethod
    def of_file(cls, lock: Path) -> "Holder | None":
        """Who stands in a lock file; None where nobody does."""
        try:
            holder = cls(**json.loads(lock.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return holder if isinstance(holder.pid, int) else None

    @property
    def runs(self) -> bool:
        """Whether this process of this computer still runs; another with its number has another start."""
        if self.pid == os.getpid() or self.started is None:
            return False
        start = _start_of(self.pid)
        return start is not None and abs(start - self.started) < SAME_START

    @property
    def may_run(self) -> bool:
        """Whether it runs, or is on another computer, where nobody can tell."""
        return self.host != socket.gethostname() or self.runs

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since} ({cut(self.command, SHOWN_COMMAND)})"


@contextmanager
def folder_lock(folder: str | Path, part: str = "") -> Iterator[None]:
    """Hold an output folder (or file) while something is written to it.

    Args:
        folder: what is written; it need not exist.
        part: holds this part of it alone; other parts may have other holders.

    Raises:
        BusyError: another process, or another thread, holds it.
        DataError: it is a file, and not a part of one is held.
    """
    folder = real_path(folder)
    if not folder.name or len(os.fsencode(folder.name)) > LONGEST_NAME:
        problem = "is no folder to write" if not folder.name else f"has a name of more than {LONGEST_NAME} bytes"
        raise DataError(str(folder), problem, "choose another folder")
    if not part and folder.exists() and not folder.is_dir():  # known before a model is loaded
        raise DataError(str(folder), "is no directory", "name a directory that does not exist yet")
    name = folder.with_name(f"{folder.name}.{part}") if part else folder
    held = _held.get()
    if not held.isdisjoint([name, *folder.parents]):
        yield
        return
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        with _locked_file(folder, name):
            token = _held.set(held | {name})
            try:
                if not part:
                    _sweep(folder)
                yield
            finally:
                _held.reset(token)
    finally:
        with suppress(OSError):  # something is in it
            for parent in made:  # innermost first
                parent.rmdir()


def locked(
    folder_of: Callable[[Mapping[str, Any]], str | Path] = lambda arguments: arguments["out"],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Make a function hold its output folder: its argument `out`, or what `folder_of` makes of all its arguments."""

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def holding(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            with folder_lock(folder_of(bound.arguments)):
                return function(*args, **kwargs)

        return holding

    return decorate


def _lock_file(name: Path) -> Path:
    """Beside the folder, where all who share the disk see it; in the temporary folder where nobody may write there."""
    if os.access(name.parent, os.W_OK):
        return name.with_name(f".{name.name}.lock")
    return Path(tempfile.gettempdir()) / f"{_temporary_name(name)}.lock"


def _temporary_name(name: Path) -> str:
    """What names in the temporary folder begin with that belong to an output folder."""
    return f"reckon-{sha256(str(name).encode()).hexdigest()[:12]}"


def scratch_of(folder: str | Path) -> Path:
    """A new folder in the temporary folder, for the holder of an output folder; one that is left goes with the next."""
    return Path(tempfile.mkdtemp(prefix=f"{_temporary_name(real_path(folder))}-"))


@contextmanager
def _locked_file(folder: Path, name: Path) -> Iterator[None]:
    """Lock the file of a name, write this process into it, and remove it at the end."""
    held: tuple[int, Path] | None = None
    owner = os.getpid()
    try:
        with delayed():  # an interrupt between making the file and knowing of it would leave it
            held = _acquire(folder, name)
        yield
    finally:
        if held is not None and os.getpid() == owner:  # a forked child leaves the block too
            with delayed():
                _open.discard(held[0])
                _release(*held)


def _acquire(folder: Path, name: Path) -> tuple[int, Path]:
    """The descriptor of the locked file, and where the file is."""
    _forked_children_close()
    while True:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # as below /proc
            raise DataError(str(folder.parent), "cannot be made", "choose another folder") from None
        lock = _lock_file(name)
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # whoever made the folder above has removed it between our two calls
            continue
        try:
            if not _lock(descriptor):
                raise _busy(folder, lock, Holder.of_file(lock))
            if not _is_at(descriptor, lock):  # the holder before has removed it between our two calls
                os.close(descriptor)
                continue
            left = Holder.of_file(lock)
            if left is not None and left.may_run:
                raise _busy(folder, lock, left)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(asdict(Holder.here())).encode())
        except BaseException:
            os.close(descriptor)
            raise
        _open.add(descriptor)
        return descriptor, lock


def _busy(folder: Path, lock: Path, holder: Holder | None) -> BusyError:
    fix = "wait until it has ended, or choose another folder"
    if holder is not None and holder.host != socket.gethostname():
        fix = f"wait until it has ended; if it has, delete {lock}"
    return BusyError(folder, "another process" if holder is None else str(holder), fix)


def _lock(descriptor: int) -> bool:
    """Ask the operating system for the lock, without waiting; True on a file system that has none."""
    if fcntl is None:
        os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # no locks here: the record alone tells
        return True
    return True


def _is_at(descriptor: int, lock: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), lock.stat())
    except FileNotFoundError:
        return False


def _release(descriptor: int, lock: Path) -> None:
    try:
        lock.unlink(missing_ok=True)  # before the lock is free: whoever waits for it sees that the file is gone
    except OSError:  # Windows removes no open file; nor does it remove one that the next holder has opened by now
        os.close(descriptor)
        with suppress(OSError):
            lock.unlink()
        return
    os.close(descriptor)


@functools.cache
def _forked_children_close() -> None:
    """A forked child must not keep alive the lock of a parent that was killed."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_close_all)


def _close_all() -> None:
    for descriptor in _open:
        with suppress(OSError):
            os.close(descriptor)
    _open.clear()


def _start_of(pid: int) -> float | None:
    """When a process of this computer began; None where there is none, or nobody can tell."""
    try:
        import psutil
    except ImportError:  # the operating system's lock tells
        return None
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _sweep(folder: Path) -> None:
    """Remove what a killed holder of this folder left; nobody else may be at it now."""
    _remove_half_written(folder.parent, folder.name)
    for scratch in Path(tempfile.gettempdir()).glob(f"{_temporary_name(folder)}-*"):
        shutil.rmtree(scratch, ignore_errors=True)
    looked_at = 0
    for place, folders, files in os.walk(folder):
        looked_at += len(folders) + len(files)
        if looked_at > MOST_LOOKED_AT:  # nothing of ours is that large
            return
        held = [match[1] for name in files if (match := LOCK.fullmatch(name)) and not _is_left(Path(place, name))]
        folders[:] = [name for name in folders if name not in held]
        _remove_half_written(Path(place), but=held)


def _remove_half_written(place: Path, only: str | None = None, but: Collection[str] = ()) -> None:
    """Remove temporary names in a folder, those of one name or of all but some.

    A data set that was being replaced lies in `.old`, and comes back where its successor is not there.
    """
    for path in place.iterdir():
        found = HALF_WRITTEN.fullmatch(path.name)
        if not found or found["name"] in but or only not in (None, found["name"]):
            continue
        whole = place / found["name"]
        if found["kind"] == "old" and (path / whole.name).exists() and not whole.exists():
            (path / whole.name).rename(whole)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _is_left(lock: Path) -> bool:
    """Whether nobody holds a lock file; where it has a record, it is removed."""
    try:
        descriptor = os.open(lock, os.O_RDWR)
    except OSError:
        return not lock.exists()
    holder = Holder.of_file(lock)
    if not _lock(descriptor) or (holder is not None and holder.may_run):
        os.close(descriptor)
        return False
    if holder is None:  # somebody else's file, or its holder is about to write
        os.close(descriptor)
    else:
        _release(descriptor, lock)
    return True
