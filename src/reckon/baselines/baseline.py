"""The base class of ranking baselines: masking, ranks, lists and storage.

Entry point: `Baseline`. A subclass defines how it is fitted (`learn`), its score of every item for a history
(`scores`), and its tensors (`tensors`, `from_tensors`; `save_parts` for parts that are not tensors). A baseline that
finds its list by beam search, without a score for every item, overrides `listed` and `ranks`.

Knows nothing of language models; `reckon.baselines.generative` does.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reckon.config import load_config, save_config
from reckon.data import Catalog, Dataset, Examples
from reckon.data.dataset import DEFAULT_WINDOW
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.files import whole_file, write_text
from reckon.json_file import read_json
from reckon.models.item_table import catalog_hash
from reckon.models.recommender import RankedExamples, Recommendation
from reckon.models.scoring import SCORES_AT_ONCE, block_ranks, block_top_k

BASELINE_FILE, TENSORS_FILE, CONFIG_FILE = "baseline.json", "tensors.safetensors", "config.yaml"
ROWS_AT_ONCE = 4096  # most histories that `scores` reads in one call


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSettings:
    """Settings of a baseline that has none."""


@dataclass(frozen=True, slots=True)
class Fitting:
    """Arguments of `Baseline.fit` besides data and settings."""

    exclude_seen: bool
    seed: int
    on_progress: Callable[[float], None]


def validation_rows(dataset: Dataset, most: int, seed: int, window: int = DEFAULT_WINDOW) -> Examples:
    """At most `most` validation rows, drawn with the seed, for early stopping and tuning.

    Raises:
        DataError: the data set has no validation rows.
    """
    rows = dataset.examples("valid", window).sample(most, seed)
    if not len(rows):
        fix = "prepare the data with more events a user, or with another split"
        raise DataError(str(dataset.path), "has no validation rows to stop or tune by", fix)
    return rows


def _ignore_progress(share: float) -> None:
    """Default of `on_progress`: do nothing."""


class Baseline(ABC):
    """A recommender that gives every item of the catalog a score for any history."""

    NAME: ClassVar[str]
    """Name in tables and configs."""
    CONFIG: ClassVar[type] = NoSettings
    """Frozen dataclass of the settings."""
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Settings worth tuning on validation rows, each with the values to draw from."""

    def __init__(self, catalog: Catalog, config: Any, exclude_seen: bool = True) -> None:
        self.catalog, self.config, self.exclude_seen = catalog, config, exclude_seen

    # -- defined by subclasses -----------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        """Fit with checked arguments; `config` is of the class CONFIG."""

    @abstractmethod
    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        """[n, I] float32, higher is better, never NaN, for n histories of item indices, oldest first."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything learned."""

    @classmethod
    @abstractmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        """Build a baseline from what `tensors` returned."""

    def save_parts(self, folder: Path) -> None:  # noqa: B027 - most baselines have nothing to add
        """Write the parts that are not tensors: a language model with its tokenizer, another baseline."""

    @classmethod
    def load_parts(cls, folder: Path, catalog: Catalog, config: Any) -> dict[str, Any]:
        """Read what `save_parts` wrote, as further keyword arguments of `from_tensors`."""
        return {}

    @property
    def numbers_learned(self) -> int:
        """Number of fitted parameters."""
        return sum(tensor.numel() for tensor in self.tensors().values())

    @property
    def facts(self) -> dict[str, Any]:
        """What a comparison keeps of a fit beside its ranks, as JSON values."""
        return {"numbers learned": self.numbers_learned}

    # -- fitting ------------------------------------------------------------------------------------------------

    @classmethod
    def fit(
        cls,
        dataset: Dataset,
        config: Any = None,
        *,
        exclude_seen: bool = True,
        seed: int = 0,
        on_progress: Callable[[float], None] | None = None,
    ) -> Self:
        """Fit to the training rows of a data set. Validation rows may stop the training; test rows are not read.

        Args:
            dataset: its catalog is the set of items to rank.
            config: of the class CONFIG; default: its defaults.
            exclude_seen: whether items of the history cannot be recommended.
            seed: of all random draws.
            on_progress: called now and then with the share of the work done, 0 to 1.

        Raises:
            ConfigError: `config` is of another class.
        DataError: the data lack something that the baseline needs.
        """
        if config is None:
            config = cls.CONFIG()
        elif not isinstance(config, cls.CONFIG):
            raise ConfigError(
                "config", config, f"is no {cls.CONFIG.__name__}", f"make it with {cls.CONFIG.__name__}(…)"
            )
        return cls.learn(dataset, config, Fitting(exclude_seen, seed, on_progress or _ignore_progress))

    # -- recommending -------------------------------------------------------------------------------------------

    def recommend(
        self, histories: Sequence[IntArray | Sequence[int]], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The k best items for each history (item indices, oldest first).

        Raises:
            ConfigError: k < 1. DataError: a history names an item that the catalog does not have.
        """
        if k < 1:
            raise ConfigError("k", k, "a list needs at least one item", "ask for 1 or more")
        checked = [self._checked(history) for history in histories]
        exclude = self.exclude_seen if exclude_seen is None else exclude_seen
        return self.listed(checked, min(k, len(self.catalog)), exclude)

    def listed(self, histories: Sequence[IntArray], k: int, exclude_seen: bool) -> list[Recommendation]:
        """`recommend` with checked arguments."""
        answers = []
        for _, scores in self._score_blocks(
            len(histories),
            lambda rows: self.scores(histories[rows.start : rows.stop]),
            histories if exclude_seen else None,
        ):
            answers += self._best(scores, k)
        return answers

    def _best(self, scores: Tensor, k: int) -> list[Recommendation]:
        """The k best items of each row of a block [n, I]."""
        answers = []
        items, values = block_top_k(scores, k)
        for indices, row_values in zip(items.tolist(), values.tolist(), strict=True):
            kept = [index for index in indices if index >= 0]  # -1 fills the end of a short list
            ids = [self.catalog.ids[index] for index in kept]
            answers.append(Recommendation(kept, ids, row_values[: len(kept)]))
        return answers

    def ranks(
        self, examples: Examples, k: int = 20, *, on_batch: Callable[[int], None] | None = None
    ) -> RankedExamples:
        """Rank of every row's target, ties counted against the target, and the k best items.

        Args:
            examples: histories are read within their window; all items that the user took before are excluded, if any
                are.
            k: length of each list.
            on_batch: called after each batch with its number of rows.
        """
        result, k = RankedExamples.empty(len(examples), k), min(k, len(self.catalog))
        seen = [examples.seen(row) for row in range(len(examples))] if self.exclude_seen else None
        targets = torch.from_numpy(examples.targets.astype(np.int64))
        for rows, scores in self._score_blocks(len(examples), lambda rows: self.row_scores(examples, rows), seen):
            result.ranks[rows] = block_ranks(scores, targets[rows]).numpy()
            result.put_items(rows, block_top_k(scores, k)[0].numpy())
            if on_batch is not None:
                on_batch(len(scores))
        return result

    def row_scores(self, examples: Examples, rows: range) -> Tensor:
        """[n, I] `scores` of some rows of a split; for baselines that read more of a row than its items."""
        return self.scores([examples.history(row) for row in rows])

    def _score_blocks(
        self, count: int, score: Callable[[range], Tensor], exclude: Sequence[IntArray] | None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of rows with their scores [n, I], excluded items at -inf; memory is bounded by the block."""
        size = max(1, min(ROWS_AT_ONCE, SCORES_AT_ONCE // max(1, len(self.catalog))))
        for start in range(0, count, size):
            rows = slice(start, min(start + size, count))
            scores = score(range(rows.start, rows.stop))
            if bool(scores.isnan().any()):
                raise DataError(f"scores of {self.NAME}", "hold NaN: training has diverged", "lower its learning rate")
            for row, hidden in enumerate(exclude[rows] if exclude is not None else ()):
                scores[row, torch.from_numpy(np.asarray(hidden, dtype=np.int64))] = -torch.inf
            yield rows, scores

    def _checked(self, history: IntArray | Sequence[int]) -> IntArray:
        items = np.asarray(history, dtype=np.int64)
        outside = (items < 0) | (items >= len(self.catalog))
        if outside.any():
            raise DataError(
                f"history item {items[outside.argmax()]}",
                f"is not an item index (0 .. {len(self.catalog) - 1})",
                "use Catalog.index to turn an item id into its index",
            )
        return items

    # -- storage ------------------------------------------------------------------------------------------------

    def save_pretrained(self, path: str | Path) -> None:
        """Write tensors and settings, then `baseline.json`: a folder that holds `baseline.json` is whole."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        with whole_file(path / TENSORS_FILE) as part:
            save_file({name: value.detach().cpu().contiguous() for name, value in self.tensors().items()}, part)
        self.save_parts(path)
        save_config(self.config, path / CONFIG_FILE)
        meta = {
            "baseline": self.NAME,
            "exclude_seen": self.exclude_seen,
            "catalog_hash": catalog_hash(self.catalog.ids),
        }
        write_text(path / BASELINE_FILE, json.dumps(meta, indent=2))

    @classmethod
    def from_pretrained(cls, path: str | Path, catalog: Catalog) -> Self:
        """Load what `save_pretrained` wrote.

        Args:
            path: the folder.
            catalog: the items it was fitted on, in the same order.

        Raises:
            CheckpointError: a part is missing or damaged, it is another baseline, or it has another catalog.
        """
        path = Path(path)
        again = "fit and save it again"
        meta = read_json(path / BASELINE_FILE, {"baseline": str, "exclude_seen": bool, "catalog_hash": str}, fix=again)
        name, exclude_seen, stored_hash = meta["baseline"], meta["exclude_seen"], meta["catalog_hash"]
        try:
            tensors = load_file(path / TENSORS_FILE)
        except (OSError, ValueError, SafetensorError) as error:
            raise CheckpointError(path, f"is not a saved baseline ({error})", again) from None
        if name != cls.NAME:
            raise CheckpointError(path, f"holds the baseline {name!r}, not {cls.NAME!r}", f"load it as {name!r}")
        if stored_hash != catalog_hash(catalog.ids):
            raise CheckpointError(path, "was fitted on another catalog (its hash differs)", "fit it on this data set")
        config: Any = load_config(cls.CONFIG, path / CONFIG_FILE)
        parts = cls.load_parts(path, catalog, config)
        return cls.from_tensors(catalog, config, bool(exclude_seen), tensors, **parts)
