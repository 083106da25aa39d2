"""The interface of a task: rank items, or predict ratings.

Entry point: `Task`, implemented in `reckon.comparison.ranking.task` and `reckon.comparison.rating.task`. The methods of
a comparison decide its task (`ComparisonConfig.task`). Cells, tuning, statistics and the common tables use only this
interface.
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
    """Rows of one split, equal for all methods."""

    def __len__(self) -> int: ...

    @property
    def checksum(self) -> str:
        """Checksum; equal checksums mean equal rows."""


class AnyResult(Protocol):
    """The result of one cell."""

    @property
    def name(self) -> str:
        """Name of the method in tables."""

    @property
    def user_ids(self) -> Any:
        """User of each row: [U]."""

    @property
    def rates(self) -> Mapping[str, float]:
        """Rates of the result, such as shares of replies."""

    def __len__(self) -> int: ...


class Task(ABC):
    """One task, without state.

    Rows, fitted contestants, recommendations and results have types of the task. A caller passes them on to the same
    task and uses only the protocols above.
    """

    name: ClassVar[TaskName]
    """Also the name of the phase after training, in progress lines."""
    selection: ClassVar[str]
    """Metric on validation rows by which tuning chooses settings."""

    # -- the rows -------------------------------------------------------------------------------------------------

    @abstractmethod
    def rows(self, dataset: Dataset, protocol: ProtocolConfig, split: RowSplit, limit: int | None) -> AnyRows:
        """At most `limit` rows of a split under the protocol. Raises DataError where the split has no rows."""

    @abstractmethod
    def question(self, dataset: Dataset, rows: Any, protocol: ProtocolConfig) -> str:
        """What is predicted for each row, for the captions of tables."""

    @abstractmethod
    def data_findings(self, dataset: Dataset, rows: Any, protocol: ProtocolConfig) -> list[Finding]:
        """Checks of the data for leaks, independent of the methods."""

    @abstractmethod
    def best_possible(self, dataset: Dataset, rows: Any, config: ComparisonConfig) -> dict[str, float] | None:
        """Best possible expected metrics, where the process that generated the data is known; else None."""

    # -- one cell -------------------------------------------------------------------------------------------------

    @abstractmethod
    def recommend(self, fitted: Any, rows: Any, dataset: Dataset, width: int, on_batch: Callable[[int], None]) -> Any:
        """Apply a fitted method to every row; `on_batch` is called with the number of rows of each batch."""

    @abstractmethod
    def result(
        self, name: str, recommendations: Any, rows: Any, dataset: Dataset, rates: Mapping[str, float]
    ) -> AnyResult:
        """Recommendations as a result for metrics. Raises DataError for invalid recommendations."""

    @abstractmethod
    def rates(self, fitted: Any, recommendations: Any) -> dict[str, float]:
        """Rates of the replies; empty for a method without replies."""

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
        """Checks of one fitted method. Raises DataError for contradictory recommendations."""

    @abstractmethod
    def details(self, fitted: Any, rows: Any, recommendations: Any, limit: int, seed: int) -> dict[str, Any]:
        """Further entries of `cell.json`; `limit` bounds the rows that are ranked or rated again for them."""

    @abstractmethod
    def save(self, folder: Path, recommendations: Any, fitted: Any) -> None:
        """Write the recommendations into a cell's folder."""

    @abstractmethod
    def load(self, folder: Path, rows: Any, *, wrote: bool) -> Any:
        """Read what `save` wrote, and the replies if the method `wrote` any.

        Raises:
            OSError, ValueError, KeyError, SafetensorError: a file is missing or damaged.
        """

    # -- the table ------------------------------------------------------------------------------------------------

    @abstractmethod
    def refuse_impossible(self, result: Any, config: ComparisonConfig) -> None:
        """Refuse a result with impossible metrics. Raises DataError."""

    @abstractmethod
    def refuse_published(self, row: PublishedConfig, dataset: Dataset, config: ComparisonConfig) -> None:
        """The same for published numbers."""

    def list_numbers(
        self, dataset: Dataset, rows: Any, results: Mapping[str, Sequence[Any]], config: ComparisonConfig
    ) -> dict[str, dict[str, float]]:
        """Metrics of recommended lists by method name; empty for tasks without lists."""
        return {}
