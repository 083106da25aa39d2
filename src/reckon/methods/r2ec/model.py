"""R2ec: one language model with a language head, which writes the reasoning, and a rec head, which ranks the catalog
from the hidden state at the reasoning's end.

Entry points: `R2ec.from_backbone`, `fit`, `recommend`, `save_pretrained`, `from_pretrained`.

    from reckon.data import Dataset
    from reckon.methods.r2ec import R2ec

    dataset = Dataset.load("movies")
    model = R2ec.from_backbone("Qwen/Qwen2.5-0.5B-Instruct", dataset)
    model.fit(dataset, out="run")
    print(model.recommend([[3, 17, 5]], k=10)[0].reasoning)

Source: R2ec (arXiv 2505.16994).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from reckon.data import Catalog, Dataset, Example
from reckon.data.examples import IntArray
from reckon.data.repeats import settled
from reckon.methods.r2ec.config import R2ecConfig, preset
from reckon.methods.ranking_model import RankingModel
from reckon.methods.reading import Reading
from reckon.models.backbone import Backbone, load_backbone
from reckon.models.item_cache import cached_rows
from reckon.models.item_table import ItemTable
from reckon.models.rec_head import encode_items, user_vectors
from reckon.progress import phase
from reckon.prompts import Message, item_text
from reckon.prompts.cutting import Titles
from reckon.prompts.histories import FittedHistory
from reckon.prompts.items import item_ids
from reckon.prompts.r2ec import MARKER, messages
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine
from reckon.rollout.rollouts import END_FINISH
from reckon.runs.read import MODEL_FOLDER, config_of
from reckon.runs.saved_catalog import SavedCatalog
from reckon.training.backbone import backbone_to_train


class R2ecModel(RankingModel):
    """An R2ec without training: reasoning, ranking, storage."""

    METHOD = "r2ec"
    config: R2ecConfig

    def __init__(
        self,
        backbone: Backbone,
        catalog: Catalog,
        counts: IntArray,
        words: dict[str, str],
        config: R2ecConfig,
        table: ItemTable | None = None,
    ) -> None:
        super().__init__(backbone, catalog, counts, words, config, table)
        self._tokenised: dict[str, list[int]] = {}  # item text -> token ids
        self.engine = SharedPrefixEngine(backbone, MARKER)
        self.set_prompt_limit()

    @classmethod
    def from_backbone(cls, backbone: str | Path | Backbone, dataset: Dataset, config: R2ecConfig | None = None) -> Self:
        """An untrained R2ec.

        Args:
            backbone: hub id or folder of a causal language model, or a loaded one.
            dataset: gives the catalog of the item table, and the training counts of the popularity prior.
            config: settings; default: the `paper` preset.
        """
        config = config or preset("paper")
        head = replace(config.head, exclude_seen=settled(config.head.exclude_seen, dataset))
        config = replace(config, head=head)
        backbone = backbone_to_train(backbone, config.training, config.lora, config.seed)
        model = cls(backbone, dataset.catalog, dataset.train_counts, dataset.words, config)
        model.data_path = dataset.path
        return model

    # -- reading users and items ------------------------------------------------------------------------------

    @property
    def reasons(self) -> bool:
        return self.config.reasons

    @property
    def exclude_seen(self) -> bool:
        return self.config.head.excludes_seen

    @property
    def popularity_prior(self) -> float:
        return self.config.head.popularity_prior

    def without_reasoning(self) -> Self | None:
        if not self.reasons:
            return None
        config = replace(self.config, arm="no-reasoning")
        return type(self)(self.backbone, self.catalog, self.counts, self.words, config, self.table)

    def encode(self, catalog: Catalog) -> Tensor:
        return encode_items(self.backbone, self._item_prompts(catalog))

    def refresh_items(self, *, untrained: bool = False) -> None:
        """Encode all items with the present weights; a large catalog shows a progress bar.

        Args:
            untrained: the weights are those that other trainings begin with, so rows that take long are cached on disk.
        """
        prompts = self.item_prompts

        def encode() -> Tensor:
            with phase("encoding items", total=len(prompts)) as encoding:
                return encode_items(self.backbone, prompts, encoding.advance)

        rows = cached_rows(self.backbone, prompts, encode) if untrained else encode()
        self._table = ItemTable(self.catalog.ids, rows)

    def take_table(self, table: ItemTable) -> None:
        """Rank by a table that was encoded before."""
        self._table = table

    def turns(self, example: Example, titles: Titles) -> list[Message]:
        return messages(example, titles, self.words, self.config.prompt.style)

    @property
    def reply_tokens(self) -> int:
        return (self.config.rollout.max_completion_length if self.reasons else 0) + len(self.engine.marker.ids)

    def fitted(self, example: Example) -> FittedHistory:
        """The prompt of an example within the token budget; without reasoning it ends with the marker."""
        prompt = super().fitted(example)
        return prompt if self.reasons else replace(prompt, ids=prompt.ids + self.engine.marker.ids)

    def read(
        self,
        examples: Sequence[Example],
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> tuple[Tensor, Rollouts | None]:
        """Hidden states at the marker [n, D], and the replies of a model that reasons (greedy unless `sampling` is
        given)."""
        return self._read([self.prompt_ids(example) for example in examples], sampling, generator, on_token)

    def _read(
        self,
        prompts: Sequence[list[int]],
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> tuple[Tensor, Rollouts | None]:
        if not self.config.reasons:
            with self.backbone.evaluating():
                return self.backbone.last_hidden(self.backbone.pad(prompts)), None
        rollouts = self.engine.sample(prompts, sampling or self.greedy, generator=generator, on_token=on_token)
        return rollouts.hidden, rollouts

    def reading(self, examples: Sequence[Example], on_token: Callable[[Tensor], None] | None = None) -> Reading:
        prompts = [self.fitted(example) for example in examples]
        hidden, rollouts = self._read([prompt.ids for prompt in prompts], on_token=on_token)
        if rollouts is None:
            return Reading.silent(self.queries(hidden), prompts)
        return replace(self.reading_sampled(examples, rollouts), prompts=prompts)

    def reading_sampled(self, examples: Sequence[Example], rollouts: Rollouts) -> Reading:
        return Reading(
            self.queries(rollouts.hidden),
            [*self.reasonings(rollouts)],
            rollouts.truncated.tolist(),
            rollouts.sampled.sum(dim=1).tolist(),
        )

    def sampled_readings(self, examples: Sequence[Example], samples: int, generator: torch.Generator) -> list[Reading]:
        prompts = [self.fitted(example) for example in examples]
        rollouts = self.engine.sample(
            [prompt.ids for prompt in prompts], self.config.rollout, num_generations=samples, generator=generator
        )
        queries = self.queries(rollouts.hidden)
        texts: list[str | None] = [*self.reasonings(rollouts)]
        cut = rollouts.truncated.tolist()
        lengths = rollouts.sampled.sum(dim=1).tolist()
        shares = [slice(one, None, samples) for one in range(samples)]  # rows i*G .. (i+1)*G - 1 follow prompt i
        return [Reading(queries[own], texts[own], cut[own], lengths[own], prompts=prompts) for own in shares]

    def written(self, examples: Sequence[Example]) -> list[str]:
        _, rollouts = self.read(examples)
        assert rollouts is not None, "only a model that reasons writes"
        return [
            self._text(ids[:length].tolist()) + (self._end_of_turn(ids[:length]) if reason == END_FINISH else "")
            for ids, length, reason in zip(rollouts.reply_ids, rollouts.lengths, rollouts.finish, strict=True)
        ]

    def _end_of_turn(self, reply: Tensor) -> str:
        """Text of the token that ended the turn, before the appended marker: h_T is read after both."""
        return str(self.backbone.tokenizer.decode(reply[: -len(self.engine.marker.ids)][-1:].tolist()))

    def reading_written(self, examples: Sequence[Example], replies: Sequence[str]) -> Reading:
        """Read given replies: the hidden state at the marker appended to each text. Tokenising a text may give other
        tokens than were sampled; those beyond the model's positions are not read."""
        marker, positions = self.engine.marker.ids, self.backbone.positions
        prompts = [self.prompt_ids(example) for example in examples]
        tokens = [self.backbone.tokenizer.encode(text, add_special_tokens=False) for text in replies]
        if positions is not None:
            rooms = [positions - len(prompt) - len(marker) for prompt in prompts]
            tokens = [reply[:room] for reply, room in zip(tokens, rooms, strict=True)]
        sequences = [prompt + reply + marker for prompt, reply in zip(prompts, tokens, strict=True)]
        with self.backbone.evaluating():
            hidden = self.backbone.last_hidden(self.backbone.pad(sequences))
        n = len(examples)
        return Reading(self.queries(hidden), [*replies], [False] * n, [len(reply) for reply in tokens])

    def queries(self, hidden: Tensor) -> Tensor:
        """Hidden states at the marker [n, D] to user vectors [n, D], whose product with the item table is the score."""
        return user_vectors(hidden) / self.config.head.tau

    def reasonings(self, rollouts: Rollouts) -> list[str]:
        """Text of each reply before its marker."""
        return [
            self._text(ids[:length].tolist()).strip()
            for ids, length in zip(rollouts.reply_ids, rollouts.lengths, strict=True)
        ]

    def shown(self, written: list[int], ended: bool) -> str:
        settled = self._text(written)
        if not ended:  # a partial marker at the end is not shown
            for length in range(len(MARKER) - 1, 0, -1):
                settled = settled.removesuffix(MARKER[:length])
        return settled

    def _text(self, reply: list[int]) -> str:
        """Text of a reply before the marker, without end-of-turn tokens."""
        return str(self.backbone.tokenizer.decode(reply, skip_special_tokens=True)).split(MARKER)[0]

    @property
    def item_prompts(self) -> list[list[int]]:
        """Token ids of each item prompt; computed on first use."""
        return self._item_prompts(self.catalog)

    def _item_prompts(self, catalog: Catalog) -> list[list[int]]:
        """Token ids of the item prompts of a catalog; each text is tokenised once, also if it returns in another
        catalog."""
        texts = [item_text(catalog.record(i), self.prompt.item_words) for i in range(len(catalog))]
        fresh = list(dict.fromkeys(text for text in texts if text not in self._tokenised))
        if fresh:
            self._tokenised.update(zip(fresh, self.item_ids(fresh), strict=True))
        return [self._tokenised[text] for text in texts]

    def item_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of item texts, each within its token budget and ending with the marker."""
        most = min(self.prompt.item_tokens, self.backbone.positions or self.prompt.item_tokens)
        return item_ids(texts, self.backbone.tokenizer, MARKER, most)

    # -- storage ------------------------------------------------------------------------------------------------

    @classmethod
    def _loaded(cls, path: Path, device: str | torch.device | None) -> Self:
        saved = SavedCatalog.load(path, cls.METHOD)
        config = config_of(path, R2ecConfig)
        backbone = load_backbone(path / MODEL_FOLDER, dtype=config.training.dtype, device=device)
        saved.require_width(backbone.hidden_size)
        saved.table.vectors = saved.table.vectors.to(backbone.device)
        model = cls(backbone, saved.catalog, saved.counts, saved.words, config, saved.table)
        model.data_path = saved.data_path
        return model
