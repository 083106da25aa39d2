"""Which run answers which user: one for all, or several side by side (A/B).

Entry point: `Groups.of_user`. A user's group follows from a hash of the id, so it is the same on every machine and
after every start. A run is exchanged as a whole: a request that has begun keeps the run it began with.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence

from reckon.errors import ConfigError, DataError
from reckon.serving.models.served_run import ServedRun


class Groups:
    """Runs by name, with the share of users that each answers."""

    def __init__(self, runs: Sequence[ServedRun], shares: Sequence[float] = ()) -> None:
        """`shares` in the order of the runs, any positive numbers; none: equal ones.

        Raises:
            ConfigError: a name occurs twice, or there is not one positive share for each run.
        """
        self._runs = {run.name: run for run in runs}
        if len(self._runs) != len(runs):
            raise ConfigError("--beside", [run.name for run in runs], "holds a name twice", "name each run once")
        if shares and (len(shares) != len(runs) or min(shares) <= 0):
            rule = f"must be one positive number for each of {len(runs)} runs"
            raise ConfigError("model.shares", list(shares), rule, "leave it out for equal shares")
        total = sum(shares) if shares else float(len(runs))
        self.shares: Mapping[str, float] = {
            name: (share / total) for name, share in zip(self._runs, shares or [1.0] * len(runs), strict=True)
        }
        self._lock = threading.Lock()

    @property
    def first(self) -> ServedRun:
        """The run that answers where no user is named. Raises DataError where all served runs predict ratings."""
        for run in self._runs.values():
            return run
        raise DataError("the service", "serves no run that ranks items", "start it with one")

    @property
    def runs(self) -> list[ServedRun]:
        """The runs that answer now, in their order."""
        return list(self._runs.values())

    def get(self, name: str) -> ServedRun:
        """The run of a name. Raises DataError for an unknown name."""
        if name not in self._runs:
            raise DataError(f"model {name!r}", "is not served", f"use one of {', '.join(self._runs)}")
        return self._runs[name]

    def of_user(self, user_id: str | None) -> tuple[ServedRun, str | None]:
        """The run that answers a user, and the user's group; anonymous histories go to the first run, and only where
        there are several runs there is a group."""
        first, runs = self.first, self.runs
        if len(runs) == 1:
            return first, None
        if user_id is None:
            return first, first.name
        point = int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8], "big") / 2**64
        for run in runs:
            point -= self.shares[run.name]
            if point < 0:
                return run, run.name
        return runs[-1], runs[-1].name

    def replace(self, run: ServedRun) -> None:
        """Let a run answer in place of the one with its name."""
        with self._lock:
            self._runs = {name: run if name == run.name else old for name, old in self._runs.items()}
