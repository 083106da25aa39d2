"""What a comparison compares, and how: the YAML file of `reckon compare --data DIR --config FILE`.

Entry point: `load_comparison`. What a method's own settings mean is known by its contestant alone
(`reckon.comparison.ranking.contestants`); here they are names and values.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.config import load_config
from reckon.errors import ConfigError
from reckon.methods.method import Task as TaskName
from reckon.methods.registry import contestants

Split = Literal["as-prepared", "temporal", "leave-one-out", "given"]
LEAST_SEEDS = 3
KS = (5, 10, 20)
TESTED_ERRORS = ("mae", "rmse")
RATING_METRICS = (*TESTED_ERRORS, "parse_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodConfig:
    """One row of the table."""

    method: str
    """What is trained: a baseline, or an arm of a method by its name in tables, e.g. `r2ec` or `no-reasoning`."""

    name: str = ""
    """What tables call it; default: the method."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The method's own settings; `a.b: 1` is field b of section a. Seed, masking and histories are the protocol's."""

    search: dict[str, Any] | None = None
    """Settings to tune, each with the list of values to draw from. Default: what the method says is worth tuning; `{}`
    tunes nothing."""

    @property
    def label(self) -> str:
        """As tables call it."""
        return self.name or self.method


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolConfig:
    """What every method is given and asked alike. Section `protocol`."""

    split: Split = "as-prepared"
    """`as-prepared`, or `temporal`, `leave-one-out` or `given`, whatever the data set was prepared with."""

    window: int = 20
    """Latest events of a history that a method may read, > 0. A method may read fewer."""

    exclude_seen: bool = True
    """Items that the user took before cannot be recommended. Data with repeat purchases needs false."""

    negatives: int | None = None
    """null ranks the whole catalog. A number ranks each target among that many random items, the same for all methods;
    the number becomes part of every metric's name, since such numbers compare with nothing else."""

    rows: int | None = None
    """null ranks all test rows; a number draws that many, the same for all methods."""

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("negatives", 1), ("rows", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"protocol.{name}", value, f"must be at least {least}", "use the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """How settings are found: the same number of random draws for every method. Section `tuning`."""

    trials: int = 0
    """Settings tried per method, the given ones first, >= 0; the best NDCG@10 on validation rows is kept, for ratings
    the lowest RMSE. 0 takes the given settings untried. A method with fewer different settings tries them all."""

    rows: int | None = 2000
    """Validation rows that judge a trial, the same for all; null takes all."""

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise ConfigError("tuning.trials", self.trials, "must not be negative", "use 0 for no tuning")
        if self.rows is not None and self.rows < 2:
            raise ConfigError("tuning.rows", self.rows, "must be at least 2", "use 2000, or null for all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningConfig:
    """How much the reasoning of methods that reason matters. Section `reasoning`."""

    rows: int = 200
    """Test rows asked again with others' reasoning, shuffled words and none, >= 0; 0 leaves it out."""

    def __post_init__(self) -> None:
        if self.rows < 0 or self.rows == 1:
            rule = "must be at least 2: one row has no other's reasoning"
            raise ConfigError("reasoning.rows", self.rows, rule, "use 0 to leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedConfig:
    """A row taken from somebody's paper, to stand beside the measured ones. Nothing is tested against it."""

    name: str
    """What tables call it."""

    values: dict[str, float]
    """Metrics of the table with their published values: `hit@10`, `ndcg@10`, 0 to 1; `mae`, `rmse` in rating units."""

    note: str
    """Where the numbers are from, and what differs (data, candidates, budget)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """Everything that defines a comparison beside its data."""

    methods: tuple[MethodConfig, ...]
    """The rows of the table, in its order."""

    baseline: str = ""
    """Name of the method that the others are compared with; default: the first."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds, at least three different ones: one seed says nothing of the next."""

    allow_few_seeds: bool = False
    """Accept fewer than three seeds, for a trial. Tables say so."""

    ks: tuple[int, ...] = KS
    """Cut-offs of the metrics; predicted ratings have none."""

    tested: tuple[str, ...] = ()
    """Metrics (`hit@K` or `ndcg@K`; of ratings, `mae` or `rmse`) in which every method is compared with the baseline,
    all under one correction. Default: Hit and NDCG at 10, or at the largest cut-off where 10 is none; MAE and RMSE."""

    workers: int = 1
    """Cells trained at once, > 0, each in a process of its own with one thread."""

    published: tuple[PublishedConfig, ...] = ()
    """Rows of papers, marked as such."""

    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    reasoning: ReasoningConfig = field(default_factory=ReasoningConfig)

    def __post_init__(self) -> None:
        self._check_methods()
        if len(set(self.seeds)) != len(self.seeds) or any(seed < 0 for seed in self.seeds):
            raise ConfigError("seeds", list(self.seeds), "must be different whole numbers from 0", "use [0, 1, 2]")
        if len(self.seeds) < (1 if self.allow_few_seeds else LEAST_SEEDS):
            rule = f"a comparison needs at least {LEAST_SEEDS} seeds: one seed says nothing of the next"
            raise ConfigError("seeds", list(self.seeds), rule, "use [0, 1, 2], or allow_few_seeds: true for a trial")
        if not self.ks or min(self.ks) < 1 or list(self.ks) != sorted(set(self.ks)):
            raise ConfigError("ks", list(self.ks), "must be rising numbers from 1", "use [5, 10, 20]")
        self._check_metrics()
        if self.workers < 1:
            raise ConfigError("workers", self.workers, "must be at least 1", "use the number of cores")

    def _check_methods(self) -> None:
        if len(self.methods) < 2:
            raise ConfigError("methods", len(self.methods), "a comparison needs two methods", "add popularity")
        names = [method.label for method in self.methods]
        for place, name in enumerate(names):
            if name in names[:place]:
                fix = "give one of them a name of its own"
                raise ConfigError(f"methods[{place}].name", name, "is the name of another row too", fix)
        if self.baseline and self.baseline not in names:
            raise ConfigError("baseline", self.baseline, "is no row of the table", f"use one of {', '.join(names)}")
        self._check_task()

    def _check_task(self) -> None:
        """Rankings and ratings have no metric in common, and no setting of one means something to the other."""
        first, rate = self.methods[0].method, rating_methods()
        for place, method in enumerate(self.methods):
            if (method.method in rate) != (first in rate):
                does = (
                    "predicts ratings, and {} does not" if self.task == "ranking" else "predicts no ratings, as {} does"
                )
                fix = f"compare them in files of their own; ratings are predicted by {', '.join(rate)}"
                raise ConfigError(f"methods[{place}].method", method.method, does.format(first), fix)
        if self.task == "ranking":
            return
        protocol = self.protocol
        for path, value, usual in (
            ("ks", list(self.ks), list(KS)),
            ("protocol.negatives", protocol.negatives, None),
            ("protocol.exclude_seen", protocol.exclude_seen, True),
        ):
            if value != usual:
                raise ConfigError(path, value, "is for rankings, and these methods predict ratings", "leave it out")

    def _check_metrics(self) -> None:
        if self.published and self.protocol.negatives is not None:
            rule = "published rows rank the whole catalog, and this comparison ranks among samples"
            raise ConfigError("published", len(self.published), rule, "leave them out, or set protocol.negatives=null")
        testable = TESTED_ERRORS if self.task == "rating" else self.metrics
        for place, metric in enumerate(self.tested):
            if metric not in testable:
                rule = "is no metric that methods are tested by"
                raise ConfigError(f"tested[{place}]", metric, rule, f"use of {', '.join(testable)}")
            if metric in self.tested[:place]:  # each is a comparison more that Holm's method corrects for
                raise ConfigError(f"tested[{place}]", metric, "is there already", "name each metric once")
        for place, row in enumerate(self.published):
            for metric in row.values:
                if metric not in self.metrics:
                    path, fix = f"published[{place}].values.{metric}", f"use of {', '.join(self.metrics)}"
                    raise ConfigError(path, metric, "is not in the table", fix)

    @property
    def task(self) -> TaskName:
        """What all methods of the file do."""
        return "rating" if self.methods[0].method in rating_methods() else "ranking"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Columns of the table."""
        if self.task == "rating":
            return RATING_METRICS
        return tuple(f"{metric}@{k}" for k in self.ks for metric in ("hit", "ndcg"))

    @property
    def main_metric(self) -> str:
        """The metric by which methods are put in order."""
        return "rmse" if self.task == "rating" else f"ndcg@{self.headline}"

    @property
    def headline(self) -> int:
        """The cut-off that stands for all: 10, or the largest where 10 is none."""
        return 10 if 10 in self.ks else max(self.ks)

    @property
    def tests(self) -> tuple[str, ...]:
        """Metrics in which methods are compared with the baseline."""
        usual = TESTED_ERRORS if self.task == "rating" else (f"hit@{self.headline}", f"ndcg@{self.headline}")
        return self.tested or usual

    def metric_key(self, metric: str) -> str:
        """`hit@10`, or `hit@10/100-sampled` where targets are ranked among samples: no one takes it for the other."""
        negatives = self.protocol.negatives
        return metric if negatives is None else f"{metric}/{negatives}-sampled"

    @property
    def compared_with(self) -> str:
        """Name of the method that paired differences are taken from."""
        return self.baseline or self.methods[0].label


def rating_methods() -> tuple[str, ...]:
    """Names of all that predict ratings: baselines, and arms of methods."""
    return (*RATING_BASELINES, *(name for name, (method, _) in contestants().items() if method.task == "rating"))


def load_comparison(path: Path, overrides: Sequence[str] = ()) -> ComparisonConfig:
    """The config of a file; `section.field=value` strings win over it. Raises ConfigError by the field's path."""
    return load_config(ComparisonConfig, path, overrides)
