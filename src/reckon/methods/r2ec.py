"""R2ec: one language model with two heads. It writes its reasoning, then ranks the catalog from where it ends.

Entry points: `R2ec.from_backbone`, `fit`, `recommend`, `save_pretrained`, `from_pretrained`.

    from reckon.data import Dataset
    from reckon.methods.r2ec import R2ec

    dataset = Dataset.load("movies")
    model = R2ec.from_backbone("Qwen/Qwen2.5-0.5B-Instruct", dataset)
    model.fit(dataset, out="run")
    print(model.recommend([[3, 17, 5]], k=10)[0].reasoning)

Source: R2ec (arXiv 2505.16994).
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from reckon.config import save_config
from reckon.data import Catalog, Dataset, Event, Example, Examples
from reckon.data.examples import IntArray
from reckon.data.progress import phase
from reckon.errors import CheckpointError, ConfigError, DataError
from reckon.files import write_text
from reckon.methods.finished_run import config_of
from reckon.methods.r2ec_config import R2ecConfig, preset
from reckon.models.backbone import Backbone, load_backbone
from reckon.models.item_table import ItemTable
from reckon.models.rec_head import encode_items, user_vectors
from reckon.models.recommender import RankedExamples, Recommendation
from reckon.models.scoring import ranks_and_top_k, top_k
from reckon.prompts import item_text, render
from reckon.prompts.r2ec import MARKER, messages
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine

PRIOR_SMOOTHING = 1.0  # pseudo-count of every item in the popularity prior
READERS_AT_ONCE = 64  # prompts in one inference batch


class R2ec:
    """A recommender that reasons, then ranks."""

    def __init__(
        self,
        backbone: Backbone,
        catalog: Catalog,
        counts: IntArray,
        words: dict[str, str],
        config: R2ecConfig,
        table: ItemTable | None = None,
    ) -> None:
        self.backbone, self.words, self.config = backbone, words, config
        self.engine = SharedPrefixEngine(backbone, MARKER)
        self.data_path: Path | None = None
        self._set_catalog(catalog, counts)
        self._table = table

    @classmethod
    def from_backbone(
        cls, backbone: str | Path | Backbone, dataset: Dataset, config: R2ecConfig | None = None
    ) -> "R2ec":
        """An untrained R2ec.

        Args:
            backbone: hub id or folder of a causal language model, or a loaded one.
            dataset: its catalog becomes the item table, its training counts the popularity prior.
            config: settings; default: the `paper` preset.
        """
        config = config or preset("paper")
        if not isinstance(backbone, Backbone):
            backbone = load_backbone(
                backbone,
                dtype=config.training.dtype,
                lora=config.lora,
                gradient_checkpointing=config.training.gradient_checkpointing,
            )
        model = cls(backbone, dataset.catalog, dataset.train_counts, dataset.words, config)
        model.data_path = dataset.path
        return model

    # -- reading users and items ------------------------------------------------------------------------------

    @property
    def table(self) -> ItemTable:
        """The item table; encoded on first use."""
        if self._table is None:
            self.refresh_items()
        assert self._table is not None
        return self._table

    def refresh_items(self) -> None:
        """Encode every item with the model as it is now; a large catalog shows a bar."""
        with phase("encoding items", total=len(self.item_prompts)) as encoding:
            self._table = ItemTable(self.catalog.ids, encode_items(self.backbone, self.item_prompts, encoding.advance))

    @property
    def log_prior(self) -> Tensor:
        """[I] log training frequency, smoothed."""
        counts = torch.from_numpy(np.asarray(self.counts, dtype=np.float32)) + PRIOR_SMOOTHING
        return (counts / counts.sum()).log().to(self.backbone.device)

    def prompt_ids(self, example: Example) -> list[int]:
        """The prompt of one history as token ids; without reasoning it ends with the marker."""
        turns = messages(example, self.titles, self.words, self.config.prompt.style)
        text = render(turns, self.backbone.tokenizer)
        has_start = bool(getattr(self.backbone.tokenizer, "chat_template", None))  # templates write their own
        ids = self.backbone.tokenizer.encode(text, add_special_tokens=not has_start)
        return ids if self.config.reasons else ids + self.engine.marker.ids

    def read(
        self,
        examples: Sequence[Example],
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> tuple[Tensor, Rollouts | None]:
        """States at the marker [n, D], and the replies where the model reasons (greedy unless `sampling` is given)."""
        prompts = [self.prompt_ids(example) for example in examples]
        if not self.config.reasons:
            with self.backbone.evaluating():
                return self.backbone.last_hidden(self.backbone.pad(prompts)), None
        greedy = SamplingConfig(temperature=0, max_completion_length=self.config.rollout.max_completion_length)
        rollouts = self.engine.sample(prompts, sampling or greedy, generator=generator, on_token=on_token)
        return rollouts.hidden, rollouts

    def queries(self, hidden: Tensor) -> Tensor:
        """States at the marker to vectors whose product with the item table is the score."""
        return user_vectors(hidden) / self.config.head.tau

    @property
    def bias(self) -> Tensor | None:
        """[I] added to every user's scores; None without a popularity prior."""
        weight = self.config.head.popularity_prior
        return weight * self.log_prior if weight > 0 else None

    def seen(self, examples: Sequence[Example]) -> list[IntArray] | None:
        """Item indices each user cannot be recommended; None where repeats are allowed."""
        if not self.config.head.exclude_seen:
            return None
        return [example.seen for example in examples]

    # -- answering --------------------------------------------------------------------------------------------

    def ranks(
        self,
        examples: Examples,
        k: int = 20,
        *,
        batch_size: int = READERS_AT_ONCE,
        on_batch: Callable[[int], None] | None = None,
    ) -> RankedExamples:
        """Rank of every row's target over the whole catalog, with the reply that led to it."""
        order = np.argsort(examples.end - examples.start, kind="stable")  # similar lengths pad little
        result = RankedExamples.empty(len(examples), k)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = [examples[int(row)] for row in rows]
            hidden, rollouts = self.read(batch)
            queries, seen = self.queries(hidden), self.seen(batch)
            targets = torch.tensor([example.target for example in batch])
            ranks, items = ranks_and_top_k(queries, self.table.vectors, targets, k, bias=self.bias, exclude=seen)
            result.ranks[rows] = ranks.numpy()
            result.put_items(rows, items.numpy())
            if rollouts is not None:
                result.truncated[rows] = rollouts.truncated.cpu().numpy()
                result.lengths[rows] = rollouts.sampled.sum(dim=1).cpu().numpy()
                for row, text in zip(rows, self.reasonings(rollouts), strict=True):
                    result.reasonings[row] = text
            if on_batch is not None:
                on_batch(len(batch))
        return result

    def recommend(
        self, histories: Sequence[IntArray | Sequence[int]], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """Reason about each history, then rank the catalog.

        Args:
            histories: item indices, oldest first; may be empty.
            k: items to return, at least 1. Fewer come back where the catalog has fewer.
            exclude_seen: leave items of the history out; default: as trained.
        """
        return self.recommend_examples([self.example_of(history) for history in histories], k, exclude_seen)

    def recommend_examples(
        self, examples: Sequence[Example], k: int = 10, exclude_seen: bool | None = None
    ) -> list[Recommendation]:
        """As `recommend`, for rows of a data set: their times and ratings are part of the prompt."""
        answers: list[Recommendation] = []
        for start in range(0, len(examples), READERS_AT_ONCE):
            batch = examples[start : start + READERS_AT_ONCE]
            answers += self._answer(batch, k, exclude_seen, *self.read(batch))
        return answers

    def recommend_streaming(
        self,
        example: Example,
        k: int = 10,
        exclude_seen: bool | None = None,
        *,
        on_text: Callable[[str], None],
    ) -> Recommendation:
        """As `recommend_examples` for one row; `on_text` gets the reasoning piece by piece while it is written."""
        written: list[int] = []
        shown = ""

        def show(settled: str) -> None:
            nonlocal shown
            if len(settled) > len(shown):
                on_text(settled[len(shown) :])
                shown = settled

        def on_token(tokens: Tensor) -> None:
            written.append(int(tokens[0]))
            # A character spelled by several tokens, or a marker that is still growing, waits for its end.
            settled = self._text(written)
            settled = "" if settled.endswith("\ufffd") else settled
            for length in range(len(MARKER) - 1, 0, -1):
                settled = settled.removesuffix(MARKER[:length])
            show(settled)

        read = self.read([example], on_token=on_token)
        show(self._text(written))
        return self._answer([example], k, exclude_seen, *read)[0]

    def _answer(
        self,
        examples: Sequence[Example],
        k: int,
        exclude_seen: bool | None,
        hidden: Tensor,
        rollouts: Rollouts | None,
    ) -> list[Recommendation]:
        if k < 1:
            raise ConfigError("k", k, "a list needs at least one item", "ask for 1 or more")
        exclude = self.config.head.exclude_seen if exclude_seen is None else exclude_seen
        seen = [example.seen for example in examples]
        items, scores = top_k(
            self.queries(hidden), self.table.vectors, k, bias=self.bias, exclude=seen if exclude else None
        )
        texts = self.reasonings(rollouts) if rollouts is not None else [None] * len(examples)
        cut = rollouts.truncated.tolist() if rollouts is not None else [False] * len(examples)
        answers = []
        for row, values, text, truncated in zip(items.tolist(), scores.tolist(), texts, cut, strict=True):
            found = [item for item in row if item >= 0]  # what is missing is missing at the end
            ids = [self.table.item_ids[item] for item in found]
            answers.append(Recommendation(found, ids, values[: len(found)], text, truncated))
        return answers

    def reasonings(self, rollouts: Rollouts) -> list[str]:
        """The text of each reply before its marker."""
        return [
            self._text(ids[:length].tolist()).strip()
            for ids, length in zip(rollouts.reply_ids, rollouts.lengths, strict=True)
        ]

    def _text(self, reply: list[int]) -> str:
        """What was written before the marker, without end-of-turn tokens."""
        return str(self.backbone.tokenizer.decode(reply, skip_special_tokens=True)).split(MARKER)[0]

    def example_of(self, history: IntArray | Sequence[int]) -> Example:
        """A history given as item indices, oldest first, as an example without a target."""
        latest = [int(item) for item in history][-self.config.prompt.window :]
        for item in map(int, history):
            if not 0 <= item < len(self.catalog):
                raise DataError(
                    f"history item {item}",
                    f"is not an item index (0 .. {len(self.catalog) - 1})",
                    "use Catalog.index to turn an item id into its index",
                )
        seen = np.array([int(item) for item in history], dtype=np.int64)
        return Example("", tuple(Event(item, None, None) for item in latest), -1, None, seen)

    # -- the catalog moves --------------------------------------------------------------------------------------

    def put_items(self, items: pa.Table) -> None:
        """Add items, or replace those whose id is known; one encoding each, no training.

        Args:
            items: `item_id`, `title` and the catalog's other columns; a column that is absent becomes null.

        Raises:
            DataError: no id or title, or an id twice. The catalog stays as it was.
        """
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
        self.table.put(fresh.ids, encode_items(self.backbone, self._item_prompts(fresh)))
        self._follow_table(pa.concat_tables([known, fresh.table]))

    def remove_items(self, item_ids: Sequence[str]) -> None:
        """Take items out of the catalog; nothing is trained."""
        self.table.remove(item_ids)
        self._follow_table(self.catalog.table)

    def _follow_table(self, items: pa.Table) -> None:
        """Make the catalog of the items that the table now holds; of two rows with one id the later one counts."""
        rows = {item_id: row for row, item_id in enumerate(items["item_id"].to_pylist())}
        catalog = Catalog(items.take(pa.array([rows[item_id] for item_id in self.table.item_ids], pa.int64())))
        counts = dict(zip(self.catalog.ids, self.counts, strict=True))
        self._set_catalog(catalog, np.array([counts.get(item_id, 0) for item_id in catalog.ids]))

    def _set_catalog(self, catalog: Catalog, counts: IntArray) -> None:
        """Take a catalog, with its titles as histories show them and its items as the backbone reads them."""
        self.catalog, self.counts = catalog, counts
        self.titles = [" ".join(title.split()[: self.config.prompt.title_words]) for title in catalog.titles]
        self.item_prompts = self._item_prompts(catalog)

    def _item_prompts(self, catalog: Catalog) -> list[list[int]]:
        words = self.config.prompt.item_words
        return self.backbone.tokenize([item_text(catalog.record(i), words) + MARKER for i in range(len(catalog))])

    # -- training and storage -----------------------------------------------------------------------------------

    def fit(self, dataset: Dataset, out: str | Path, *, resume: bool = False) -> "R2ec":
        """Train with RecPO (or, for the arm without reasoning, with the item loss alone) into a run directory."""
        from reckon.methods.r2ec_training import fit

        fit(self, dataset, Path(out), resume=resume)
        return self

    def save_pretrained(self, path: str | Path) -> None:
        """Write weights and tokenizer (`model/`), `item_table.safetensors`, `items.parquet` and `config.yaml`."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        self.backbone.model.save_pretrained(path / "model")
        self.backbone.tokenizer.save_pretrained(path / "model")
        self.table.save(path / "item_table.safetensors")
        counts = pa.array(np.asarray(self.counts, dtype=np.int64))
        table = self.catalog.table.append_column("reckon_train_count", counts)
        pq.write_table(table, path / ".items.part")
        os.replace(path / ".items.part", path / "items.parquet")
        save_config(self.config, path / "config.yaml")
        data = str(self.data_path.resolve()) if self.data_path else None
        meta = {"method": "r2ec", "words": self.words, "data": data}
        write_text(path / "r2ec.json", json.dumps(meta, indent=2))

    @classmethod
    def from_pretrained(cls, path: str | Path, device: str | torch.device | None = None) -> "R2ec":
        """Load what `save_pretrained` or a finished run wrote.

        Raises:
            CheckpointError: a part is missing, damaged, or the item table belongs to another catalog.
        """
        path = Path(path)
        if not (path / "r2ec.json").exists():
            raise CheckpointError(
                path,
                "is not a finished R2ec run (no r2ec.json)",
                "give the directory of `reckon train r2ec`, after it has ended",
            )
        try:
            meta = json.loads((path / "r2ec.json").read_text())
            items = pq.read_table(path / "items.parquet")
            catalog = Catalog(items.drop_columns("reckon_train_count"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                path,
                f"r2ec.json or items.parquet is missing or damaged ({error})",
                "copy the whole run directory again",
            ) from error
        config = config_of(path, R2ecConfig)
        backbone = load_backbone(path / "model", dtype=config.training.dtype, device=device)
        table = ItemTable.load(path / "item_table.safetensors", catalog.ids)
        table.vectors = table.vectors.to(backbone.device)
        model = cls(backbone, catalog, items["reckon_train_count"].to_numpy(), meta["words"], config, table)
        model.data_path = Path(meta["data"]) if meta["data"] else None
        return model

    def example_of_user(self, dataset: Dataset, user_id: str) -> Example:
        """Everything known of a user of a data set, with items as this model's catalog numbers them.

        Raises:
            DataError: there is no such user, or an item of the history is not in the model's catalog.
        """
        example = dataset.latest(user_id, self.config.prompt.window)
        if dataset.catalog.ids == self.catalog.ids:
            return example
        ids = dataset.catalog.ids
        events = tuple(
            replace(event, item_index=self.catalog.index(ids[event.item_index])) for event in example.history
        )
        return replace(example, history=events, earlier=self.catalog.indices([ids[item] for item in example.seen]))
