"""The error of the store."""

from reckon.errors import ReckonError


class StoreError(ReckonError):
    """The store cannot be opened, read or written."""

    def __init__(self, where: str, problem: str, fix: str) -> None:
        self.where, self.problem, self.fix = where, problem, fix
        super().__init__(f"{where}: {problem}. Fix: {fix}.")
