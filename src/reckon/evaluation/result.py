"""What every evaluation holds, whatever the task: differences, findings, groups of rows, what was evaluated.

Entry points: `AnyEvaluation`, the base of `Evaluation` and `RatingEvaluation`; `About` and `SampledGroup`, its parts.
Nothing here is a page or a file: `reckon.reports` shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reckon.data.splits import Split
from reckon.evaluation.groups import GroupedMetric
from reckon.evaluation.guards.finding import Finding
from reckon.evaluation.pairs import Pair

FIRST_ROWS, WORST_ROWS = 6, 4  # rows shown as examples: the first of the split, and those that came out worst


@dataclass(frozen=True, slots=True)
class SampledReply:
    """One trajectory of a group. The text may be hostile: whoever shows it escapes it."""

    text: str
    reward: float
    advantage: float
    """Reward minus the mean of the group, in reward units."""
    finish: str
    """Why the reply ended: `length` for a truncated one."""


@dataclass(frozen=True, slots=True)
class SampledGroup:
    """The replies that were sampled for one prompt in training."""

    step: int
    user_id: str
    replies: Sequence[SampledReply]
    """Highest reward first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What was evaluated, and what it takes to do it again."""

    method: str
    """As people call it."""
    run: str
    """The run's folder."""
    data: str
    """The data set's folder."""
    source: str
    """Where the data came from."""
    split: Split
    rows: int
    catalog_size: int
    commands: Sequence[str]
    """Of the command line: the training, where it can be said, and the evaluation."""
    facts: Mapping[str, str]
    """Manifest and resolved config of the run."""
    histories: Mapping[str, Sequence[Mapping[str, float]]]
    """Every logged step and validation of each run, by its name in the tables."""
    group: SampledGroup | None
    """Of the training; None where no trajectories were kept."""
    seconds: float
    """Wall time of the evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyEvaluation:
    """Results over the same rows. The last one is what the evaluation is about."""

    pairs: Sequence[Pair] = ()
    """Paired differences."""
    best_possible: Mapping[str, float] | None = None
    """Metric names to values, where the best that can be expected is known."""
    findings: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
    """What guards say of the data, and of each run by its name."""
    groups: Sequence[GroupedMetric] = ()
    """Results for terciles of the rows."""
    about: About | None = None
    """None for results that are in memory alone."""
