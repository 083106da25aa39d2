"""Every error a user can cause, in one family.

Each message names the field, the value, the rule and the fix. The CLI prints it on one line and exits 2;
the service answers 4xx. Anything that is not a `ReckonError` is a bug and keeps its traceback.
"""


class ReckonError(Exception):
    """Base of all errors that a user's input can cause."""


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
