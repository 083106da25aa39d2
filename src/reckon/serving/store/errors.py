"""The errors of the store."""

from reckon.errors import ReckonError


class StoreError(ReckonError):
    """The store cannot be opened, read or written now."""

    def __init__(self, where: str, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}. Fix: {fix}.")


class ValueRefused(StoreError):
    """The store is sound, and cannot hold a value that it was given."""
