"""RPORec: a language model that reasons in text, and a small Rechead that ranks by history and reply.

Entry points: `RPORec.from_backbone`, `fit`, `reason`, `recommend`, `save_pretrained`, `from_pretrained`.

    from reckon.data import Dataset
    from reckon.methods.rporec import RPORec

    dataset = Dataset.load("movies")
    model = RPORec.from_backbone("Qwen/Qwen2.5-0.5B-Instruct", dataset)
    model.fit(dataset, out="run")
    print(model.recommend([[3, 17, 5]], k=10)[0].reasoning)

The language model reads no item vectors and the Rechead reads no hidden states, so either can be replaced.

Source: RPORec (arXiv 2605.21967).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from reckon.data import Catalog, Dataset, Example
from reckon.data.examples import IntArray
from reckon.data.repeats import settled
from reckon.errors import CheckpointError
from reckon.files import whole_file
from reckon.json_file import COPY_AGAIN
from reckon.methods.ranking_model import RankingModel
from reckon.methods.reading import Reading
from reckon.methods.rporec.config import RecheadConfig, RPORecConfig, preset
from reckon.methods.rporec.rechead_training import Scorer, user_vectors
from reckon.methods.rporec.reply_store import Reply
from reckon.models.backbone import Backbone, load_backbone
from reckon.models.item_table import ItemTable
from reckon.models.rechead import Rechead
from reckon.models.sentence_encoder import SentenceEncoder, load_encoder, new_encoder
from reckon.prompts import Message, item_text
from reckon.prompts.cutting import Titles
from reckon.prompts.rporec import BLOCKS, REPLY_END, history_text, messages
from reckon.rollout import Rollouts, SamplingConfig, SharedPrefixEngine
from reckon.runs.read import MODEL_FOLDER, config_of
from reckon.runs.saved_catalog import SavedCatalog
from reckon.training.backbone import backbone_to_train

RECHEAD_FILE, ENCODER_FOLDER = "rechead.safetensors", "encoder"
THINK, THOUGHT = f"<{BLOCKS[0]}>", f"</{BLOCKS[0]}>"


class RPORecModel(RankingModel):
    """An RPORec without training: reasoning, ranking, storage."""

    METHOD = "rporec"
    config: RPORecConfig

    def __init__(
        self,
        backbone: Backbone,
        catalog: Catalog,
        counts: IntArray,
        words: dict[str, str],
        config: RPORecConfig,
        encoder: SentenceEncoder,
        rechead: Rechead,
        table: ItemTable | None = None,
    ) -> None:
        super().__init__(backbone, catalog, counts, words, config, table)
        self.encoder, self.rechead = encoder, rechead.to(backbone.device).eval()
        self.engine = SharedPrefixEngine(backbone, REPLY_END, appends_marker=False)
        self.set_prompt_limit()

    @classmethod
    def from_backbone(
        cls, backbone: str | Path | Backbone, dataset: Dataset, config: RPORecConfig | None = None
    ) -> Self:
        """An RPORec with an untrained Rechead, which ranks by the sentence vectors of the history.

        Args:
            backbone: hub id or folder of a causal language model, or a loaded one.
            dataset: gives the catalog of the item table, and the training counts of the popularity prior.
            config: settings; default: the `paper` preset.
        """
        config = config or preset("paper")
        head = replace(config.rechead, exclude_seen=settled(config.rechead.exclude_seen, dataset))
        config = replace(config, rechead=head)
        backbone = backbone_to_train(backbone, config.training, config.lora, config.seed)
        encoder = new_encoder(
            head.encoder, item_texts(dataset.catalog, config.prompt.item_words), head.width, head.half_life
        )
        rechead = new_rechead(head, encoder.width, config.seed)
        model = cls(backbone, dataset.catalog, dataset.train_counts, dataset.words, config, encoder, rechead)
        model.data_path = dataset.path
        return model

    # -- the interface of RankingModel ------------------------------------------------------------------------------

    @property
    def reasons(self) -> bool:
        return self.config.reasons

    @property
    def exclude_seen(self) -> bool:
        return self.config.rechead.excludes_seen

    @property
    def popularity_prior(self) -> float:
        return self.config.rechead.popularity_prior

    def without_reasoning(self) -> Self | None:
        if not self.reasons:
            return None
        config = replace(self.config, arm="history-only")
        plain = type(self)(
            self.backbone, self.catalog, self.counts, self.words, config, self.encoder, self.rechead, self.table
        )
        plain.data_path = self.data_path
        return plain

    def encode(self, catalog: Catalog) -> Tensor:
        texts = item_texts(catalog, self.prompt.item_words)
        return self.encoder.encode(texts).to(self.backbone.device)

    def reading(self, examples: Sequence[Example], on_token: Callable[[Tensor], None] | None = None) -> Reading:
        if not self.reasons:
            return Reading.silent(self.queries(examples, [NOTHING_WRITTEN] * len(examples)))
        prompts = [self.fitted(example) for example in examples]
        replies = self._reason([prompt.ids for prompt in prompts], on_token=on_token)
        return replace(self.reading_of(examples, replies), prompts=prompts)

    def sampled_readings(self, examples: Sequence[Example], samples: int, generator: torch.Generator) -> list[Reading]:
        prompts = [self.prompt_ids(example) for example in examples]
        rollouts = self.engine.sample(prompts, self.config.rollout, num_generations=samples, generator=generator)
        replies = self.replies(rollouts)
        return [self.reading_of(examples, replies[one::samples]) for one in range(samples)]

    def written(self, examples: Sequence[Example]) -> list[str]:
        return [reply.text for reply in self.reason(examples)]

    def reading_written(self, examples: Sequence[Example], replies: Sequence[str]) -> Reading:
        return self.reading_of(examples, [Reply(text, 0, False) for text in replies])

    def reading_sampled(self, examples: Sequence[Example], rollouts: Rollouts) -> Reading:
        return self.reading_of(examples, self.replies(rollouts))

    def reading_of(self, examples: Sequence[Example], replies: Sequence[Reply]) -> Reading:
        """As `reading`, with given replies; the language model is not used."""
        parsed = [reply.parsed for reply in replies]
        return Reading(
            self.queries(examples, replies),
            [parts.reasoning for parts in parsed],
            [reply.truncated for reply in replies],
            [reply.tokens for reply in replies],
            [parts.problem is None for parts in parsed],
        )

    # -- the language model -------------------------------------------------------------------------------------

    def turns(self, example: Example, titles: Titles) -> list[Message]:
        return messages(example, titles, self.words, self.prompt.style)

    @property
    def reply_tokens(self) -> int:
        return self.config.rollout.max_completion_length if self.reasons else 0

    def reason(
        self,
        examples: Sequence[Example],
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Reply]:
        """One reply to each prompt, greedy unless `sampling` is given."""
        return self._reason([self.prompt_ids(example) for example in examples], sampling, generator)

    def _reason(
        self,
        prompts: Sequence[list[int]],
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> list[Reply]:
        sampling = sampling or self.greedy
        return self.replies(self.engine.sample(prompts, sampling, generator=generator, on_token=on_token))

    def replies(self, rollouts: Rollouts) -> list[Reply]:
        """Reply of each trajectory, as text for the parser."""
        return [
            Reply(written_text(self.backbone, ids[:length].tolist()), length, cut)
            for ids, length, cut in zip(
                rollouts.reply_ids, rollouts.lengths.tolist(), rollouts.truncated.tolist(), strict=True
            )
        ]

    def shown(self, written: list[int], ended: bool) -> str:
        text = written_text(self.backbone, written)
        if ended:
            return Reply(text, 0, False).parsed.reasoning
        if THINK not in text:
            return ""
        text = text.partition(THINK)[2].lstrip()
        for tag in (THOUGHT, f"<{BLOCKS[1]}>"):
            text = text.partition(tag)[0]
            for length in range(len(tag) - 1, 0, -1):  # a partial tag at the end is not shown
                text = text.removesuffix(tag[:length])
        return text.rstrip()

    # -- the Rechead --------------------------------------------------------------------------------------------

    def texts(self, examples: Sequence[Example], replies: Sequence[Reply]) -> tuple[Tensor, Tensor]:
        """Inputs of the Rechead: sentence vectors of history, reasoning and answer [n, 3, D], and which replies parsed
        [n]."""
        parsed = [reply.parsed for reply in replies]
        right = [parts.problem is None for parts in parsed]
        histories = [history_text(example, self.titles) for example in examples]
        reasonings = [parts.reasoning if fits else "" for parts, fits in zip(parsed, right, strict=True)]
        answers = [parts.answer for parts in parsed]
        vectors = self.encoder.encode([*histories, *reasonings, *answers]).view(3, len(examples), -1)
        device = self.backbone.device
        return vectors.transpose(0, 1).contiguous().to(device), torch.tensor(right, dtype=torch.bool, device=device)

    def queries(self, examples: Sequence[Example], replies: Sequence[Reply]) -> Tensor:
        """User vectors h_u / tau [n, D], whose product with the item table is the score; no gradient."""
        return user_vectors(self.rechead, *self.texts(examples, replies), self.config.rechead.tau)

    @property
    def scorer(self) -> Scorer:
        """The scorer of user vectors."""
        return Scorer(self.table.vectors, self.config.rechead.tau, self.bias)

    # -- storage ------------------------------------------------------------------------------------------------

    def restore(self, path: Path) -> None:
        """Load weights, Rechead and item table from a run of this model; the settings stay.

        Raises:
            CheckpointError: a part is missing or damaged.
        """
        saved = type(self).from_pretrained(path, self.backbone.device)
        saved.backbone.causal_lm.name_or_path = self.backbone.name  # what training began from
        self.backbone, self.encoder, self.rechead = saved.backbone, saved.encoder, saved.rechead
        self._table, self.engine = saved.table, saved.engine

    def _save_parts(self, path: Path) -> Iterable[str]:
        (path / ENCODER_FOLDER).mkdir(exist_ok=True)
        self.encoder.save(path / ENCODER_FOLDER)
        with whole_file(path / RECHEAD_FILE) as part:
            save_file({name: value.cpu().contiguous() for name, value in self.rechead.state_dict().items()}, part)
        return ENCODER_FOLDER, RECHEAD_FILE

    @classmethod
    def _loaded(cls, path: Path, device: str | torch.device | None) -> Self:
        saved = SavedCatalog.load(path, cls.METHOD)
        config = config_of(path, RPORecConfig)
        encoder = load_encoder(path / ENCODER_FOLDER)
        saved.require_width(encoder.width)
        rechead = load_rechead(path, config.rechead, encoder.width)
        backbone = load_backbone(
            path / MODEL_FOLDER,
            dtype=config.training.dtype,
            gradient_checkpointing=config.training.gradient_checkpointing,
            device=device,
        )
        saved.table.vectors = saved.table.vectors.to(backbone.device)
        model = cls(backbone, saved.catalog, saved.counts, saved.words, config, encoder, rechead, saved.table)
        model.data_path = saved.data_path
        return model


NOTHING_WRITTEN = Reply("", 0, False)


def item_texts(catalog: Catalog, words: int) -> list[str]:
    """Text of every item for the sentence encoder."""
    return [item_text(catalog.record(index), words) for index in range(len(catalog))]


def written_text(backbone: Backbone, ids: Sequence[int]) -> str:
    """A reply as text, with its tags, which some tokenizers hold as special tokens and drop in decoding.

    End-of-turn tokens and padding are left out; any other special token stays and breaks the reply's format.
    """
    tokenizer = backbone.tokenizer
    configured = backbone.config.eos_token_id
    ends = {tokenizer.eos_token_id, tokenizer.pad_token_id}
    ends.update(configured if isinstance(configured, list) else [configured])
    kept = list(ids)
    while kept and kept[-1] in ends:
        kept.pop()
    return str(tokenizer.decode(kept, skip_special_tokens=False))


def new_rechead(config: RecheadConfig, width: int, seed: int) -> Rechead:
    """An untrained Rechead with weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Rechead(width, config)


def load_rechead(path: Path, config: RecheadConfig, width: int) -> Rechead:
    """Load the Rechead of a saved model. Raises CheckpointError where it is missing or has another shape."""
    rechead = new_rechead(config, width, 0)
    try:
        rechead.load_state_dict(load_file(path / RECHEAD_FILE))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torch names the tensors in its second line
        raise CheckpointError(path / RECHEAD_FILE, f"is missing or damaged ({reason})", COPY_AGAIN) from None
    return rechead
