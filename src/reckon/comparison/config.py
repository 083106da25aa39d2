"""Config of a comparison: the YAML file of `reckon compare --data DIR --config FILE`.

Entry point: `load_comparison`. A method's own settings are only names and values here; its contestant checks them
(`reckon.comparison.contestant`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reckon.baselines.rating.predictors import RATING_BASELINES
from reckon.comparison.shipped import shipped_file
from reckon.config import load_config
from reckon.data.repeats import ExcludeSeen
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
    """One method of the comparison, a row of the table."""

    method: str
    """A baseline, or an arm of a method by its name in tables, such as `r2ec` or `no-reasoning`."""

    name: str = ""
    """Name in tables; default: the method."""

    settings: dict[str, Any] = field(default_factory=dict)
    """The method's own settings; `a.b: 1` sets field b of section a. Seed, masking and window are settings of the
    protocol."""

    search: dict[str, Any] | None = None
    """Settings to tune, each with a list of values to draw from. Default: the method's own search space; `{}` tunes
    nothing."""

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name or self.method


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolConfig:
    """Data, rows and masking, equal for all methods. Section `protocol`."""

    split: Split = "as-prepared"
    """`as-prepared` keeps the split of the data set; `temporal`, `leave-one-out` or `given` splits it again."""

    window: int = 20
    """Most events of a history that a method may read, the latest ones, > 0."""

    exclude_seen: ExcludeSeen = "auto"
    """Whether items that the user took before are excluded. `auto` excludes them unless more than 1 % of the training
    rows have a target from their own history."""

    negatives: int | None = None
    """null ranks the whole catalog. A number ranks each target among that many random items, the same for all methods;
    it becomes part of every metric's name, because sampled metrics are not comparable with others."""

    rows: int | None = None
    """null uses all test rows; a number draws that many, the same for all methods."""

    @property
    def excludes_seen(self) -> bool:
        """Whether items of the history are excluded; an `auto` that no data set has settled excludes them."""
        return self.exclude_seen is not False

    def __post_init__(self) -> None:
        for name, least in (("window", 1), ("negatives", 1), ("rows", 2)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"protocol.{name}", value, f"must be at least {least}", "use the default")


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningConfig:
    """Random search over settings with the same budget for every method. Section `tuning`."""

    trials: int = 0
    """Settings tried per method, >= 0, the given settings first. The settings with the highest NDCG@10 on validation
    rows are kept (ratings: the lowest RMSE). 0 uses the given settings. A smaller search space is tried completely."""

    rows: int | None = 2000
    """Validation rows of every trial, >= 2; null takes all."""

    def __post_init__(self) -> None:
        if self.trials < 0:
            raise ConfigError("tuning.trials", self.trials, "must not be negative", "use 0 for no tuning")
        if self.rows is not None and self.rows < 2:
            raise ConfigError("tuning.rows", self.rows, "must be at least 2", "use 2000, or null for all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningConfig:
    """Measurement of the effect of the reasoning. Section `reasoning`."""

    rows: int = 200
    """Test rows ranked or rated again with other users' reasoning, shuffled words and no reasoning, >= 2; 0 leaves the
    measurement out."""

    def __post_init__(self) -> None:
        if self.rows < 0 or self.rows == 1:
            rule = "must be at least 2: the reasoning is exchanged between rows"
            raise ConfigError("reasoning.rows", self.rows, rule, "use 0 to leave it out")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedConfig:
    """A row with published numbers, shown beside the measured rows. No difference from it is tested."""

    name: str
    """Name in tables."""

    values: dict[str, float]
    """Published values by metric: `hit@10`, `ndcg@10` in 0..1; `mae`, `rmse` in rating units."""

    note: str
    """Source of the numbers, and what differs (data, candidates, budget)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonConfig:
    """All settings of a comparison; only its data is given apart."""

    methods: tuple[MethodConfig, ...]
    """Methods, in the order of the table."""

    baseline: str = ""
    """Name of the method that all others are compared with; default: the first method."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Training seeds, at least three different ones, to measure the spread over seeds."""

    allow_few_seeds: bool = False
    """Allow fewer than three seeds, for a trial; tables say so."""

    ks: tuple[int, ...] = KS
    """Cut-offs K of the ranking metrics, in ascending order from 1."""

    tested: tuple[str, ...] = ()
    """Metrics in which every method is compared with the baseline, all under one correction: `hit@K` or `ndcg@K`; for
    ratings `mae` or `rmse`. Default: Hit and NDCG at 10 (at the largest cut-off if 10 is none), or MAE and RMSE."""

    workers: int = 1
    """Cells trained at the same time, > 0, each in its own process with one thread."""

    published: tuple[PublishedConfig, ...] = ()
    """Rows with published numbers, marked in the table."""

    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    tuning: TuningConfig = field(default_factory=TuningConfig)
    reasoning: ReasoningConfig = field(default_factory=ReasoningConfig)

    def __post_init__(self) -> None:
        self._check_methods()
        if len(set(self.seeds)) != len(self.seeds) or any(seed < 0 for seed in self.seeds):
            raise ConfigError("seeds", list(self.seeds), "must be different whole numbers from 0", "use [0, 1, 2]")
        if len(self.seeds) < (1 if self.allow_few_seeds else LEAST_SEEDS):
            rule = f"a comparison needs at least {LEAST_SEEDS} seeds to measure their spread"
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
                fix = "give one of them another name"
                raise ConfigError(f"methods[{place}].name", name, "is the name of another row", fix)
        if self.baseline and self.baseline not in names:
            raise ConfigError("baseline", self.baseline, "is no row of the table", f"use one of {', '.join(names)}")
        self._check_task()

    def _check_task(self) -> None:
        """Refuse a mix of ranking and rating methods, and settings of the other task."""
        first, rate = self.methods[0].method, rating_methods()
        for place, method in enumerate(self.methods):
            if (method.method in rate) != (first in rate):
                does = (
                    "predicts ratings, and {} does not" if self.task == "ranking" else "predicts no ratings, as {} does"
                )
                fix = f"compare them in two files; ratings are predicted by {', '.join(rate)}"
                raise ConfigError(f"methods[{place}].method", method.method, does.format(first), fix)
        if self.task == "ranking":
            return
        protocol = self.protocol
        for path, value, usual in (
            ("ks", list(self.ks), list(KS)),
            ("protocol.negatives", protocol.negatives, None),
            ("protocol.exclude_seen", protocol.exclude_seen, "auto"),
        ):
            if value != usual:
                raise ConfigError(path, value, "is for rankings, and these methods predict ratings", "leave it out")

    def _check_metrics(self) -> None:
        if self.published and self.protocol.negatives is not None:
            rule = "published rows rank the whole catalog, this comparison ranks sampled items"
            raise ConfigError("published", len(self.published), rule, "leave them out, or set protocol.negatives=null")
        testable = TESTED_ERRORS if self.task == "rating" else self.metrics
        for place, metric in enumerate(self.tested):
            if metric not in testable:
                rule = "is no metric for tests"
                raise ConfigError(f"tested[{place}]", metric, rule, f"use of {', '.join(testable)}")
            if metric in self.tested[:place]:  # a repeated metric would count twice in Holm's correction
                raise ConfigError(f"tested[{place}]", metric, "is there already", "name each metric once")
        for place, row in enumerate(self.published):
            for metric in row.values:
                if metric not in self.metrics:
                    path, fix = f"published[{place}].values.{metric}", f"use of {', '.join(self.metrics)}"
                    raise ConfigError(path, metric, "is not in the table", fix)

    @property
    def task(self) -> TaskName:
        """Task of all methods in the file."""
        return "rating" if self.methods[0].method in rating_methods() else "ranking"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics in the columns of the table."""
        if self.task == "rating":
            return RATING_METRICS
        return tuple(f"{metric}@{k}" for k in self.ks for metric in ("hit", "ndcg"))

    @property
    def main_metric(self) -> str:
        """Metric that orders the methods."""
        return "rmse" if self.task == "rating" else f"ndcg@{self.headline}"

    @property
    def headline(self) -> int:
        """The main cut-off: 10, or the largest if 10 is not among the cut-offs."""
        return 10 if 10 in self.ks else max(self.ks)

    @property
    def tests(self) -> tuple[str, ...]:
        """Metrics in which methods are tested against the baseline."""
        usual = TESTED_ERRORS if self.task == "rating" else (f"hit@{self.headline}", f"ndcg@{self.headline}")
        return self.tested or usual

    def metric_key(self, metric: str) -> str:
        """Name of a metric in results: `hit@10`, or `hit@10/100-sampled` where targets are ranked among 100 sampled
        items."""
        negatives = self.protocol.negatives
        return metric if negatives is None else f"{metric}/{negatives}-sampled"

    @property
    def compared_with(self) -> str:
        """Name of the baseline of the paired differences."""
        return self.baseline or self.methods[0].label


def rating_methods() -> tuple[str, ...]:
    """Names of all baselines and arms that predict ratings."""
    return (*RATING_BASELINES, *(name for name, (method, _) in contestants().items() if method.task == "rating"))


def load_comparison(path: Path, overrides: Sequence[str] = ()) -> ComparisonConfig:
    """Load the config of a file, or of a shipped comparison by its name; `section.field=value` overrides win over it.
    Raises ConfigError with the path of the wrong field."""
    return load_config(ComparisonConfig, path if path.is_file() else shipped_file(str(path)), overrides)
