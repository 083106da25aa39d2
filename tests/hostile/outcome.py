"""What became of one hostile case."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

SHOWN_FAULTS = 100  # of a kind, written out in a result


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case and its verdict."""

    case: str
    """How to make it again from the seed, and what it is."""
    verdict: str
    """A word such as accepted, refused, traceback, hang, leftover."""
    detail: str = ""
    """The message or the difference."""


def summary(outcomes: Iterable[Outcome], fine: Collection[str]) -> dict[str, Any]:
    """Counts by verdict, the number of faults, and the first of them."""
    counts: Counter[str] = Counter()
    faults = []
    for outcome in outcomes:
        counts[outcome.verdict] += 1
        if outcome.verdict not in fine and len(faults) < SHOWN_FAULTS:
            faults.append(asdict(outcome))
    number = sum(count for verdict, count in counts.items() if verdict not in fine)
    return {"cases": counts.total(), "outcomes": dict(sorted(counts.items())), "faults": number, "examples": faults}
