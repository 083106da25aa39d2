"""Every error a user can cause, in one family.

Each message names the field, the value, the rule and the fix, and is one printable line without secrets
(`reckon.messages`). The CLI prints it and exits 2; the service answers 4xx. Anything that is not a `ReckonError` is a
bug and keeps its traceback; `of_the_system` tells what the operating system refused, which is none.
"""

import errno

from reckon.messages import one_line

SPACE = ("no space is left on the disk", "free some space, or choose another disk")
READ_ONLY = ("the disk is read-only", "choose a folder that can be written")
# What the operating system refuses, and what the user may do about it.
REFUSALS = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: ("the quota of the disk is used up", SPACE[1]),
    errno.EROFS: READ_ONLY,
    errno.EACCES: ("permission is denied", "change the permissions, or choose another place"),
    errno.EPERM: ("the system does not permit it", "change the permissions, or choose another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ENOTDIR: ("a part of the path is no folder", "choose another path"),
    errno.EEXIST: ("is no folder", "choose another path"),
    errno.EISDIR: ("is a folder, not a file", "choose another path"),
    errno.ELOOP: ("the links of the path lead in a circle", "choose another path"),
    errno.EIO: ("the disk reports an error", "check the disk"),
    errno.EMFILE: ("too many files are open", "raise the limit, e.g. `ulimit -n 4096`"),
    errno.ENXIO: ("is no file", "choose another path"),
}
# The same in the words of libraries that raise errors of their own.
IN_WORDS = {
    "no space left on device": SPACE,
    "disk is full": SPACE,
    "read-only file system": READ_ONLY,
    "readonly database": READ_ONLY,
}


class ReckonError(Exception):
    """Base of all errors that a user's input can cause."""

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(message))


class ConfigError(ReckonError):
    """A setting is unknown or breaks its rule."""

    def __init__(self, field: str, value: object, rule: str, fix: str) -> None:
        self.field, self.value, self.rule, self.fix = field, value, rule, fix
        super().__init__(f"{field} = {value!r}: {rule}. Fix: {fix}.")


class DataError(ReckonError):
    """A data file, row or field cannot be used."""

    def __init__(self, where: str, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}. Fix: {fix}.")


class ShapeError(ReckonError):
    """An array has a shape the function cannot use."""

    def __init__(self, name: str, got: tuple[int, ...], want: str) -> None:
        self.name, self.got, self.want = name, got, want
        super().__init__(f"{name} has shape {got}; it must be {want}.")


class CheckpointError(ReckonError):
    """A saved model, item table or run directory is missing, damaged or belongs to something else."""

    def __init__(self, path: object, problem: str, fix: str) -> None:
        self.path, self.problem, self.fix = path, problem, fix
        super().__init__(f"{path}: {problem}. Fix: {fix}.")


class BusyError(ReckonError):
    """Another process writes to a folder."""

    def __init__(self, path: object, holder: str, fix: str) -> None:
        self.path, self.holder, self.fix = path, holder, fix
        super().__init__(f"{path}: is held by {holder}. Fix: {fix}.")


class MissingExtraError(ReckonError):
    """An optional dependency is needed and absent."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package, self.extra = package, extra
        super().__init__(f"{purpose} needs the package {package!r}. Fix: pip install 'reckon-recsys[{extra}]'.")


class SystemRefusal(ReckonError):
    """The operating system refuses a file: no space, no permission, an impossible name."""

    def __init__(self, path: object, problem: str, fix: str) -> None:
        self.path, self.problem, self.fix = path, problem, fix
        super().__init__(f"{path}: {problem}. Fix: {fix}." if path else f"{problem}. Fix: {fix}.")


def of_the_system(error: BaseException) -> SystemRefusal | None:
    """What the system refused, where that is behind an error; None where the error is something else."""
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        if isinstance(here, OSError) and here.errno in REFUSALS:
            return SystemRefusal(here.filename2 or here.filename or "", *REFUSALS[here.errno])
        words = str(here).lower()
        for text, refusal in IN_WORDS.items():
            if text in words:
                return SystemRefusal("", *refusal)
        here = here.__cause__ or here.__context__
    return None
