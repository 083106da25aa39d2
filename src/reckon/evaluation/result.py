"""The common part of the evaluations of both tasks: differences, findings, groups of rows, provenance.

Entry points: `AnyEvaluation`, the base of `Evaluation` and `RatingEvaluation`; `About` and `SampledGroup`, its parts.
`reckon.reports` shows them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reckon.data.splits import Split
from reckon.evaluation.groups import GroupedMetric
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.pairs import Pair

FIRST_ROWS, WORST_ROWS = 6, 4  # rows shown as examples: of the first users of the split, and with the worst results


def first_row_of_users(user_ids: Iterable[object]) -> list[int]:
    """The first row of each of the first FIRST_ROWS users, in the order of the split."""
    rows: dict[str, int] = {}
    for row, user in enumerate(user_ids):
        if len(rows) == FIRST_ROWS:
            break
        rows.setdefault(str(user), row)
    return list(rows.values())


@dataclass(frozen=True, slots=True)
class SampledReply:
    """One trajectory of a group. Its text is untrusted; callers escape it."""

    text: str
    reward: float
    advantage: float
    """Reward minus the mean of the group, in reward units."""
    finish: str
    """Why the reply ended: `length` for a truncated one."""


@dataclass(frozen=True, slots=True)
class SampledGroup:
    """The trajectories of one prompt in training."""

    step: int
    user_id: str
    replies: Sequence[SampledReply]
    """Highest reward first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Provenance of an evaluation: run, data, commands."""

    method: str
    """Title of the method."""
    run: str
    """The run's folder."""
    data: str
    """The data set's folder."""
    source: str
    """Source of the data set."""
    split: Split
    rows: int
    catalog_size: int
    commands: Sequence[str]
    """Commands that repeat the training, if known, and the evaluation."""
    facts: Mapping[str, str]
    """Entries of the run's manifest and resolved config."""
    histories: Mapping[str, Sequence[Mapping[str, float]]]
    """Logged steps and validations of each run, by its name in tables."""
    group: SampledGroup | None
    """A group of the training; None if no trajectories were kept."""
    seconds: float
    """Wall time of the evaluation in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyEvaluation:
    """Results on the same rows. The last result is that of the evaluated run."""

    pairs: Sequence[Pair] = ()
    """Paired differences."""
    best_possible: Mapping[str, float] | None = None
    """Best possible expected metrics by name; None where unknown."""
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    """Findings of the guards, on the data and on each run by its name."""
    groups: Sequence[GroupedMetric] = ()
    """Metrics in terciles of the rows."""
    about: About | None = None
    """Provenance; None for results of models in memory."""
