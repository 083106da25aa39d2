"""What methods are asked to do, as cells and harness know it: rank items, or predict ratings.

Entry point: `Task`. `reckon.comparison.ranking.task` and `reckon.comparison.rating.task` are the two; which one a
comparison has, follows from its methods (`ComparisonConfig.task`). Cells, tuning, statistics, resuming and the tables
that all comparisons have know no more of it than what is here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

from reckon.comparison.config import ComparisonConfig, ProtocolConfig, PublishedConfig
from reckon.comparison.contestant import Contestant
from reckon.data import Dataset
from reckon.data.splits import Split as RowSplit
from reckon.evaluation.guards.finding import Finding
from reckon.methods.method import Task as TaskName


class AnyRows(Protocol):
    """Rows of one split, the same for every method."""

    def __len__(self) -> int: ...

    @property
    def checksum(self) -> str:
        """Equal checksums are equal rows."""


class AnyResult(Protocol):
    """What one cell is measured by."""

    @property
    def name(self) -> str:
        """Of the method, as tables call it."""

    @property
    def user_ids(self) -> Any:
        """[U] who each row belongs to."""

    @property
    def rates(self) -> Mapping[str, float]:
        """What was counted on the way."""

    def __len__(self) -> int: ...


class Task(ABC):
    """One task. It has no state: everything is passed in.

    Rows, fitted contestants, recommendations and results are the task's own types, which its subclass names. Who calls
    a task passes on what it got from the same task, and looks at no more than the protocols above say.
    """

    name: ClassVar[TaskName]
    """Also what a fitted method is said to be doing."""
    selection: ClassVar[str]
    """Metric of validation rows by which tuning keeps settings."""

    # -- the rows -------------------------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, dataset: Dataset, protocol: ProtocolConfig, split: RowSplit, limit: int | None) -> AnyRows:
        """At most `limit` rows of a split under the protocol. Raises DataError where there are none."""

    @abstractmethod
    def question(self, dataset: Dataset, rows: Any, protocol: ProtocolConfig) -> str:
        """What is asked about each row, for the captions of tables."""

    @abstractmethod
    def data_findings(self, dataset: Dataset, rows: Any, protocol: ProtocolConfig) -> list[Finding]:
        """Leaks that the data itself can hold, whatever the method."""

    @abstractmethod
    def best_possible(self, dataset: Dataset, rows: Any, config: ComparisonConfig) -> dict[str, float] | None:
        """Metrics that nothing can beat but by luck, where the process behind the data is known."""

    # -- one cell -------------------------------------------------------------------------------------------------

    @abstractmethod
    def recommend(self, fitted: Any, rows: Any, dataset: Dataset, width: int, on_batch: Callable[[int], None]) -> Any:
        """Ask a fitted method about every row; `on_batch` is told how many are done."""

    @abstractmethod
    def result(
        self, name: str, recommendations: Any, rows: Any, dataset: Dataset, rates: Mapping[str, float]
    ) -> AnyResult:
        """Recommendations as metrics read them. Raises DataError for recommendations that cannot be."""

    @abstractmethod
    def rates(self, fitted: Any, recommendations: Any) -> dict[str, float]:
        """What was counted of the replies, of methods that write some."""

    @abstractmethod
    def findings(
        self,
        method: Contestant,
        fitted: Any,
        rows: Any,
        recommendations: Any,
        dataset: Dataset,
        protocol: ProtocolConfig,
    ) -> list[Finding]:
        """Checks of one fitted method. Raises DataError for recommendations that contradict themselves."""

    @abstractmethod
    def details(self, fitted: Any, rows: Any, recommendations: Any, limit: int, seed: int) -> dict[str, Any]:
        """More for `cell.json`; `limit` bounds the rows of what takes another pass over them."""

    @abstractmethod
    def save(self, folder: Path, recommendations: Any, fitted: Any) -> None:
        """Write the recommendations into a cell's folder."""

    @abstractmethod
    def load(self, folder: Path, rows: Any, *, wrote: bool) -> Any:
        """Read what `save` wrote, with the text of replies where the method `wrote` some.

        Raises:
            OSError, ValueError, KeyError, SafetensorError: a file is missing or damaged.
        """

    # -- the table ------------------------------------------------------------------------------------------------

    @abstractmethod
    def refuse_impossible(self, result: Any, config: ComparisonConfig) -> None:
        """Refuse a result whose metrics cannot be. Raises DataError."""

    @abstractmethod
    def refuse_published(self, row: PublishedConfig, dataset: Dataset, config: ComparisonConfig) -> None:
        """The same for somebody else's numbers."""

    def list_numbers(
        self, dataset: Dataset, rows: Any, results: Mapping[str, Sequence[Any]], config: ComparisonConfig
    ) -> dict[str, dict[str, float]]:
        """What methods recommend, whether right or not, by the method's name; nothing where there is nothing to say."""
        return {}
