"""The base class of methods that reason and then rank the catalog: ranks, lists, catalog changes, storage.

Entry point: `RankingModel`. A subclass defines how a batch of histories is read (`reading`: user vectors and
reasonings), how items become rows of the item table (`encode`), and further parts to store.

Evaluation, reports and `reckon recommend` use ranking methods only through this class.
"""

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from reckon.checksums import checking, checksummed
from reckon.config import save_config
from reckon.data import Catalog, Dataset, Example, Examples
from reckon.data.dataset import as_table
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError
from reckon.files import write_text
from reckon.methods.given_histories import History, example_of_history, in_catalog
from reckon.methods.reading import Reading, StreamedReasoning
from reckon.models.backbone import Backbone
from reckon.models.item_table import ItemTable
from reckon.models.recommender import RankedExamples, Recommendation
from reckon.models.scoring import best_items, log_prior, ranks_and_top_k
from reckon.prompts import render
from reckon.prompts.cutting import PromptTitles, Titles, prompt_limit
from reckon.prompts.histories import FittedHistory, fitted_history
from reckon.prompts.render import Message, rendered_ids
from reckon.prompts.style import PromptConfig
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine
from reckon.runs.read import CONFIG_FILE, MODEL_CHECKSUMS, MODEL_FOLDER
from reckon.runs.saved_catalog import ITEMS_FILE, TABLE_FILE, save_items

READERS_AT_ONCE = 64  # prompts per inference batch


class RankingModel(ABC):
    """A recommender that reads a history, may write a reasoning, and ranks the catalog."""

    samples = 1
    """Sampled replies whose scores are averaged for every history; 1: the greedy reply."""

    engine: SharedPrefixEngine
    """Samples the replies; for models that reason."""

    METHOD: str
    """Name in `reckon.methods.registry`; a saved model has a file of this name with the ending `.json`."""

    def __init__(
        self,
        backbone: Backbone,
        catalog: Catalog,
        counts: IntArray,
        words: dict[str, str],
        config: Any,
        table: ItemTable | None = None,
    ) -> None:
        self.backbone, self.words, self.config = backbone, words, config
        self.data_path: Path | None = None
        self._set_catalog(catalog, counts)
        self._table = table

    # -- defined by subclasses -------------------------------------------------------------------------------------

    @abstractmethod
    def reading(self, examples: Sequence[Example], on_token: Callable[[Tensor], None] | None = None) -> Reading:
        """Read histories with greedy reasoning; `on_token` as in `SharedPrefixEngine.sample`."""

    @abstractmethod
    def reading_sampled(self, examples: Sequence[Example], rollouts: Rollouts) -> Reading:
        """As `reading`, with replies that `engine` sampled to `prompt_ids` of the same histories."""

    @abstractmethod
    def sampled_readings(self, examples: Sequence[Example], samples: int, generator: torch.Generator) -> list[Reading]:
        """`samples` readings of the same histories, each with its own drawn replies; for models that reason."""

    @abstractmethod
    def turns(self, example: Example, titles: Titles) -> list[Message]:
        """Chat turns of one example, with titles by item index."""

    @property
    @abstractmethod
    def reply_tokens(self) -> int:
        """Most tokens after a prompt, an appended marker included."""

    @abstractmethod
    def written(self, examples: Sequence[Example]) -> list[str]:
        """Greedy reply to each prompt, as text for `reading_written`; for models that reason."""

    @abstractmethod
    def reading_written(self, examples: Sequence[Example], replies: Sequence[str]) -> Reading:
        """As `reading`, with given replies of any origin; nothing is sampled."""

    @abstractmethod
    def encode(self, catalog: Catalog) -> Tensor:
        """Rows of the item table for the items of a catalog: [n, D]."""

    @abstractmethod
    def shown(self, written: list[int], ended: bool) -> str:
        """The part of a partial reply to display; the text of each call must begin with that of the call before."""

    @abstractmethod
    def without_reasoning(self) -> "RankingModel | None":
        """A model of the same weights without reasoning; None if this model does not reason."""

    @property
    @abstractmethod
    def reasons(self) -> bool:
        """Whether replies hold reasoning."""

    @property
    @abstractmethod
    def exclude_seen(self) -> bool:
        """Whether items of the history are excluded, as in training."""

    @property
    @abstractmethod
    def popularity_prior(self) -> float:
        """Weight of the log training frequency in every score."""

    # -- prompts ------------------------------------------------------------------------------------------------

    def set_prompt_limit(self) -> None:
        """Compute the token limit of prompts; called once the model is complete.

        Raises:
            ConfigError: prompt and reply do not fit the model's positions, or `prompt.max_tokens`.
        """
        tokenizer = self.backbone.tokenizer
        bare = self.turns(Example("", (), -1, None), self.titles)
        self.prompt_limit = prompt_limit(
            self.prompt.max_tokens,
            self.backbone.positions,
            self.reply_tokens,
            len(rendered_ids(render(bare, tokenizer), tokenizer)),
            "rollout.max_completion_length",
        )
        """Most tokens of a prompt: `prompt.max_tokens`, or fewer where the model's positions leave fewer."""

    def fitted(self, example: Example) -> FittedHistory:
        """Prompt of one example within the token budget."""
        return fitted_history(example, self.titles, self.turns, self.backbone.tokenizer, self.prompt_limit)

    @property
    def greedy(self) -> SamplingConfig:
        """How a greedy reply is sampled."""
        return SamplingConfig(temperature=0, max_completion_length=self.config.rollout.max_completion_length)

    def prompt_ids(self, example: Example) -> list[int]:
        """Token ids of one example's prompt."""
        return self.fitted(example).ids

    # -- items --------------------------------------------------------------------------------------------------

    @property
    def prompt(self) -> PromptConfig:
        """Settings of the prompt."""
        return self.config.prompt

    @property
    def table(self) -> ItemTable:
        """The item table, encoded on first use."""
        if self._table is None:
            self.refresh_items()
        assert self._table is not None
        return self._table

    def refresh_items(self) -> None:
        """Encode all items with the present weights."""
        self._table = ItemTable(self.catalog.ids, self.encode(self.catalog))

    @property
    def log_prior(self) -> Tensor:
        """[I] log training frequency, smoothed."""
        return log_prior(self.counts).to(self.backbone.device)

    @property
    def bias(self) -> Tensor | None:
        """Bias [I] of every user's scores; None without a popularity prior."""
        return self.popularity_prior * self.log_prior if self.popularity_prior > 0 else None

    def seen(self, examples: Sequence[Example]) -> list[IntArray] | None:
        """Excluded item indices of each user; None where repeats are allowed."""
        return [example.seen for example in examples] if self.exclude_seen else None

    # -- ranking and recommending
    # ----------------------------------------------------------------------------------------------

    def ranks(
        self,
        examples: Examples,
        k: int = 20,
        *,
        batch_size: int = READERS_AT_ONCE,
        on_batch: Callable[[int], None] | None = None,
    ) -> RankedExamples:
        """Rank of every row's target in the whole catalog, with the k best items and the replies."""
        order = np.argsort(examples.end - examples.start, kind="stable")  # similar lengths pad little
        result = RankedExamples.empty(len(examples), k)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = [examples[int(row)] for row in rows]
            read = self.averaged_reading(batch)
            targets = torch.tensor([example.target for example in batch])
            ranks, items = ranks_and_top_k(
                read.queries, self.table.vectors, targets, k, bias=self.bias, exclude=self.seen(batch)
            )
            result.ranks[rows] = ranks.numpy()
            result.put_items(rows, items.numpy())
            result.truncated[rows] = read.truncated
            result.parsed[rows] = ~np.array(read.truncated) if read.parsed is None else read.parsed
            result.lengths[rows] = read.lengths
            if read.prompts:
                result.dropped_events[rows] = [prompt.dropped_events for prompt in read.prompts]
                result.cut_titles[rows] = [prompt.cut_titles for prompt in read.prompts]
            for row, text in zip(rows, read.reasonings, strict=True):
                result.reasonings[row] = text or ""
            if on_batch is not None:
                on_batch(len(batch))
        return result

    def averaging(self, samples: int) -> Self:
        """The same model, whose `ranks` average the scores of so many sampled replies to each history.

        Raises:
            ConfigError: it writes no replies, or there are fewer than 2.
        """
        if samples < 2 or not self.reasons:
            rule = "a mean needs 2 or more sampled replies, of a model that reasons"
            raise ConfigError("samples", samples, rule, "leave it out")
        twin = copy.copy(self)
        twin.samples = samples
        return twin

    def averaged_reading(self, examples: Sequence[Example]) -> Reading:
        """The greedy `reading`, or the mean of `samples` sampled ones; the draws follow from the run's seed."""
        if self.samples == 1:
            return self.reading(examples)
        generator = torch.Generator(device=self.backbone.device).manual_seed(self.config.seed)
        return Reading.mean(self.sampled_readings(examples, self.samples, generator))

    def recommend(
        self, histories: Sequence[History], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """The k best items for each history, with the reasoning.

        Args:
            histories: events, oldest first; may be empty. Either item indices or `Event`s. A model trained on data with
                times and ratings reads them from `Event`s; with item indices its prompt lacks them.
            k: length of each list, at least 1; shorter where fewer items are left.
            exclude_seen: whether to exclude items of the history; default: as in training.
        """
        return self.recommend_examples([self.example_of(history) for history in histories], k, exclude_seen)

    def recommend_examples(
        self, examples: Sequence[Example], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """As `recommend`, for rows of a data set, with their times and ratings in the prompt."""
        answers: list[Recommendation] = []
        for start in range(0, len(examples), READERS_AT_ONCE):
            batch = examples[start : start + READERS_AT_ONCE]
            answers += self.listed(batch, self.reading(batch), k, exclude_seen)
        return answers

    def recommend_streaming(
        self,
        example: Example,
        k: int = 10,
        exclude_seen: bool | None = None,
        *,
        on_text: Callable[[str], None],
    ) -> Recommendation:
        """As `recommend_examples` for one row; `on_text` is called with each new piece of the reasoning."""
        reasoning = StreamedReasoning(self.shown)

        def show(text: str) -> None:
            if text:
                on_text(text)

        read = self.reading([example], on_token=lambda tokens: show(reasoning.add(int(tokens[0]))))
        show(reasoning.end())
        return self.listed([example], read, k, exclude_seen)[0]

    def listed(
        self, examples: Sequence[Example], read: Reading, k: int, exclude_seen: bool | None
    ) -> list[Recommendation]:
        """Lists of the k best items for a reading."""
        exclude = self.exclude_seen if exclude_seen is None else exclude_seen
        seen = [example.seen for example in examples] if exclude else None
        lists = best_items(read.queries, self.table, k, self.bias, seen)
        return [
            Recommendation(items, ids, scores, text, cut)
            for (items, ids, scores), text, cut in zip(lists, read.reasonings, read.truncated, strict=True)
        ]

    def example_of(self, history: History, now: int | None = None) -> Example:
        """An example from a history without a target; see `reckon.methods.given_histories.example_of_history`."""
        return example_of_history(history, self.catalog, self.prompt.window, now)

    def example_of_user(self, dataset: Dataset, user_id: str) -> Example:
        """An example with a data set user's whole history, in item indices of this model's catalog.

        Raises:
            DataError: there is no such user, or an item of the history is not in the model's catalog.
        """
        return in_catalog(dataset.latest(user_id, self.prompt.window), dataset.catalog, self.catalog)

    # -- changes of the catalog --------------------------------------------------------------------------------------

    def put_items(self, items: Any) -> None:
        """Add items, or replace items of the same id. Encodes each item once; nothing is trained.

        Args:
            items: a `pyarrow.Table`, or a data frame of pandas, polars or any library that speaks Arrow: `item_id`,
                `title` and the catalog's other columns; absent columns become null.

        Raises:
            DataError: it is no table, an id or title is missing, or an id occurs twice. The catalog is then unchanged.
        """
        items = as_table(items)
        for name in ("item_id", "title"):
            if name not in items.column_names or items[name].null_count:
                raise DataError("items", f"need a {name} each", f"give the table a column {name!r} without nulls")
        known = self.catalog.table
        columns = {
            name: items[name].cast(known[name].type)
            if name in items.column_names
            else pa.nulls(len(items), known[name].type)
            for name in known.column_names
        }
        fresh = Catalog(pa.table(columns, schema=known.schema))
        self.table.put(fresh.ids, self.encode(fresh))
        self._follow_table(pa.concat_tables([known, fresh.table]))

    def remove_items(self, item_ids: Sequence[str]) -> None:
        """Remove items from the catalog; nothing is trained."""
        self.table.remove(item_ids)
        self._follow_table(self.catalog.table)

    def _follow_table(self, items: pa.Table) -> None:
        """Rebuild the catalog for the items of the item table; of two rows with one id the later one counts."""
        rows = {item_id: row for row, item_id in enumerate(items["item_id"].to_pylist())}
        catalog = Catalog(items.take(pa.array([rows[item_id] for item_id in self.table.item_ids], pa.int64())))
        counts = dict(zip(self.catalog.ids, self.counts, strict=True))
        self._set_catalog(catalog, np.array([counts.get(item_id, 0) for item_id in catalog.ids]))

    def _set_catalog(self, catalog: Catalog, counts: IntArray) -> None:
        """Set the catalog and its shortened titles for histories."""
        self.catalog, self.counts = catalog, counts
        prompt = self.prompt
        self.titles = PromptTitles(catalog.titles, self.backbone.tokenizer, prompt.title_words, prompt.title_tokens)

    # -- storage ------------------------------------------------------------------------------------------------

    def save_pretrained(self, path: str | Path) -> None:
        """Write weights and tokenizer (`model/`), `item_table.safetensors`, `items.parquet`, `config.yaml`,
        `METHOD.json` and, last, the checksums of them all: a folder that holds `checksums.json` is whole."""
        path, meta_file = Path(path), f"{self.METHOD}.json"
        with checksummed(path) as files:
            self.backbone.save(path / MODEL_FOLDER)
            self.table.save(path / TABLE_FILE)
            save_items(path, self.catalog, self.counts)
            files.update(self._save_parts(path))
            save_config(self.config, path / CONFIG_FILE)
            data = str(self.data_path.resolve()) if self.data_path else None
            meta = {"method": self.METHOD, "words": self.words, "data": data}
            write_text(path / meta_file, json.dumps(meta, indent=2))
            files.update({MODEL_CHECKSUMS, TABLE_FILE, ITEMS_FILE, CONFIG_FILE, meta_file})

    def _save_parts(self, path: Path) -> Iterable[str]:
        """Write further parts of a method besides backbone, item table and settings; returns their names."""
        return ()

    @classmethod
    def from_pretrained(
        cls, path: str | Path, device: str | torch.device | None = None, *, verify: bool = True
    ) -> Self:
        """Load a model from a folder of `save_pretrained`, or from a finished run.

        Args:
            path: the folder.
            device: where to put the model; default: the first accelerator, else the CPU.
            verify: whether to check that all files are as they were written.

        Raises:
            CheckpointError: a part is missing, damaged or changed, or the item table belongs to another catalog.
        """
        with checking(verify):
            return cls._loaded(Path(path), device)

    @classmethod
    @abstractmethod
    def _loaded(cls, path: Path, device: str | torch.device | None) -> Self:
        """As `from_pretrained`."""
