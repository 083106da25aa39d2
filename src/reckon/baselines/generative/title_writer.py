"""A language model fine-tuned to write the title of the next item; shared by BIGRec and D3.

Entry points: `TitleWriter.fit`, `TitleWriter.write` (free text), `TitleWriter.reader` (next-token logits, for a beam
search over the catalog's titles) and `TitleWriter.embed`. The default backbone is a small one pretrained on the data
set's own text, as `reckon backbone new` makes; any other backbone can be named. The loss is taken on the title's tokens
only. After each epoch the loss on validation rows is measured; the best epoch is kept.

Source: Bao et al. 2023 (arXiv 2308.08434) section 3, fine-tuning on the target's title.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from reckon.baselines.baseline import validation_rows
from reckon.baselines.generative.token_trie import NextLogits
from reckon.baselines.sequential.batches import batches_of_like_length
from reckon.data import Dataset, Event, Example, Examples
from reckon.data.examples import IntArray
from reckon.errors import ConfigError, DataError, ReckonError
from reckon.files import write_text
from reckon.json_file import Each, read_json
from reckon.models.backbone import Backbone, LoraSettings, load_backbone
from reckon.models.precision import DType
from reckon.progress import quiet_transformers
from reckon.prompts import Message, prompt_ids
from reckon.prompts.cutting import PromptTitles, Titles, prompt_limit
from reckon.prompts.histories import fitted_history
from reckon.prompts.next_title import TitleStyle, messages, shown_title
from reckon.prompts.plain import guarded
from reckon.rollout import SamplingConfig, SharedPrefixEngine
from reckon.small_backbone.pretrain import PretrainConfig, new_backbone
from reckon.training.best import Best, BestWeights
from reckon.training.one_process import require_one_process
from reckon.training.optimizer import adamw
from reckon.training.schedule import rate_share

NEW = "new"
MODEL_FOLDER, WRITER_FILE = "model", "writer.json"
ROWS_AT_ONCE = 64  # texts in one batch without gradient


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    """Fine-tuning of a language model on next titles; part of the settings of `bigrec` and `d3`."""

    backbone: str = NEW
    """Hub id or folder of a causal language model; `new` pretrains a small one on the data set's own text."""

    new: PretrainConfig = field(
        default_factory=lambda: PretrainConfig(layers=2, intermediate_size=256, steps=200, max_tokens=160)
    )
    """Settings of the small backbone, for `backbone: new`."""

    lora: LoraSettings = field(default_factory=LoraSettings)
    """Adapters for a large backbone; r = 0 trains all weights."""

    dtype: DType = "float32"
    """Dtype of the weights."""

    style: TitleStyle = "compact"
    """Wording of the prompt: `compact`, or `instruct` for instruction-tuned models."""

    window: int = 10
    """Latest events of the history that are read, >= 1."""

    title_words: int = 12
    """Words kept of each title in the history, >= 1; the target's title is not cut by words."""

    title_tokens: int = 128
    """Tokens kept of each title, in the history and as the target, >= 1; a longer title loses its end."""

    max_tokens: int = 2048
    """Most tokens of the prompt, >= 1; fewer where the model's positions leave fewer beside a title. A longer prompt
    loses the oldest titles of the history."""

    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, > 0; linear warm-up over a twentieth of the updates, then linear decay."""

    embedding_lr_scale: float = 1.0
    """Factor on the learning rate of the token embedding, > 0."""

    weight_decay: float = 0.0
    """AdamW's decoupled weight decay, >= 0."""

    batch_size: int = 32
    """Rows per update, >= 1."""

    micro_batch_size: int = 32
    """Rows per forward pass, >= 1; changes memory, not results."""

    max_epochs: int = 5
    """Most passes over the training rows, >= 0; 0 uses the backbone without fine-tuning."""

    patience: int = 1
    """Training stops after this many epochs without a lower validation loss, >= 1. The best epoch is kept."""

    validation_size: int = 500
    """Most validation rows of the fixed sample for early stopping, >= 1."""

    def __post_init__(self) -> None:
        least = (
            "window",
            "title_words",
            "title_tokens",
            "max_tokens",
            "batch_size",
            "micro_batch_size",
            "patience",
            "validation_size",
        )
        for name in least:
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "must be at least 1", "use the default")
        for name in ("learning_rate", "embedding_lr_scale"):
            if getattr(self, name) <= 0:
                raise ConfigError(name, getattr(self, name), "must be positive", "use the default")
        for name in ("weight_decay", "max_epochs"):
            if getattr(self, name) < 0:
                raise ConfigError(name, getattr(self, name), "must not be negative", "use the default")
        if self.backbone == NEW and self.lora.r > 0:
            raise ConfigError("lora.r", self.lora.r, "a new small backbone is trained whole", "set it to 0")


WRITER_SEARCH: Mapping[str, Sequence[Any]] = {"learning_rate": (5e-4, 1e-3, 2e-3), "window": (5, 10)}
"""Default search space of the baselines that write titles."""


class TitleWriter:
    """A backbone that reads histories as titles and writes the next title."""

    def __init__(
        self, backbone: Backbone, titles: Sequence[str], words: Mapping[str, str], config: WriterConfig
    ) -> None:
        self.backbone, self.words, self.config = backbone, dict(words), config
        end = backbone.tokenizer.eos_token_id
        if end is None:
            raise ConfigError("backbone", backbone.name, "its tokenizer has no end token", "set tokenizer.eos_token")
        whole = [guarded(shown_title(title), backbone.tokenizer) for title in titles]
        encoded = [
            ids[: config.title_tokens] for ids in backbone.tokenizer(whole, add_special_tokens=False)["input_ids"]
        ]
        self.title_tokens: list[list[int]] = [[*tokens, end] for tokens in encoded]
        """Target tokens of each item's title, the end token included."""
        self.titles = [
            title if len(tokens) < config.title_tokens else str(backbone.tokenizer.decode(tokens))
            for title, tokens in zip(whole, encoded, strict=True)
        ]
        self._short = PromptTitles(titles, backbone.tokenizer, config.title_words, config.title_tokens)
        bare = len(prompt_ids(messages([], self.words, config.style), backbone.tokenizer))
        longest = max(map(len, self.title_tokens))
        self.prompt_limit = prompt_limit(config.max_tokens, backbone.positions, longest, bare, "title_tokens")

    @classmethod
    def fit(
        cls, dataset: Dataset, config: WriterConfig, seed: int, on_progress: Callable[[float], None] | None = None
    ) -> Self:
        """Fine-tune a backbone on the training rows.

        Raises:
            DataError: all items have the same title.
            CheckpointError: there is no such backbone.
        """
        require_one_process()
        if len(set(map(shown_title, dataset.catalog.titles))) < 2:
            raise DataError(str(dataset.path), "has no titles that differ", "use a baseline without text")
        writer = cls(_start(dataset, config, seed), dataset.catalog.titles, dataset.words, config)
        writer._train(dataset, seed, on_progress or (lambda share: None))
        return writer

    # -- training -----------------------------------------------------------------------------------------------

    def _train(self, dataset: Dataset, seed: int, on_progress: Callable[[float], None]) -> None:
        cfg, model = self.config, self.backbone.model
        train = dataset.examples("train", cfg.window)
        valid = validation_rows(dataset, cfg.validation_size, seed, cfg.window)
        updates = cfg.max_epochs * -(-len(train) // cfg.batch_size)
        optimizer = adamw(self.backbone, cfg)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, partial(rate_share, warmup=max(1, updates // 20), updates=updates)
        )
        generator, lengths = torch.Generator().manual_seed(seed), torch.from_numpy(train.end - train.start)
        best, step = (
            BestWeights(model, Best(metric="loss", patience=cfg.patience, greater_is_better=False), _trained(model)),
            0,
        )
        best.see(self.loss_of(valid), 0)
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # dropout, where the backbone has it
            for epoch in range(1, cfg.max_epochs + 1):
                model.train()
                for rows in batches_of_like_length(lengths, cfg.batch_size, generator):
                    self._update(train, rows, optimizer)
                    schedule.step()
                    step += 1
                    if step % 20 == 0:
                        on_progress(step / updates)
                best.see(self.loss_of(valid), epoch)
                if best.is_spent(epoch):
                    break
        best.restore()
        model.eval()
        on_progress(1.0)

    def _update(self, examples: Examples, rows: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)
        tokens = sum(len(self.title_tokens[item]) for item in examples.targets[rows.numpy()])
        for part in rows.split(self.config.micro_batch_size):
            losses = self._losses(examples, part)
            if not bool(torch.isfinite(losses).all()):
                raise ReckonError("the loss of a title is not finite: training has diverged. Fix: lower learning_rate.")
            (losses.sum() / tokens).backward()
        torch.nn.utils.clip_grad_norm_(self.backbone.model.parameters(), 1.0)
        optimizer.step()

    def _losses(self, examples: Examples, rows: Tensor) -> Tensor:
        """Negative log-likelihood of each target's title, in nats: [n]."""
        backbone = self.backbone
        prompts = backbone.pad(self.prompts([examples.history(row) for row in rows.tolist()]))
        titles = backbone.pad([self.title_tokens[item] for item in examples.targets[rows.numpy()]])
        states, last = backbone.read_prompts(prompts)
        hidden = backbone.read_replies(titles.ids, states.reader(1))  # [n, T, D]
        before = torch.cat([last[:, None], hidden[:, :-1]], dim=1)  # the state that predicts each token
        counts = torch.arange(titles.ids.shape[1], device=backbone.device) < titles.lengths[:, None]  # [n, T]
        nats = cross_entropy(backbone.logits(before[counts]), titles.ids[counts], reduction="none")
        row = counts.nonzero()[:, 0]
        return torch.zeros(len(rows), device=nats.device).index_add(0, row, nats)

    def loss_of(self, examples: Examples) -> float:
        """Mean over rows of the target title's negative log-likelihood, in nats."""
        with self.backbone.evaluating():
            parts = [self._losses(examples, rows) for rows in torch.arange(len(examples)).split(ROWS_AT_ONCE)]
        return float(torch.cat(parts).mean())

    # -- reading and writing ------------------------------------------------------------------------------------

    def prompts(self, histories: Sequence[IntArray]) -> list[list[int]]:
        """Token ids of the prompt of each history."""
        return [self._prompt(history[-self.config.window :]) for history in histories]

    def _prompt(self, history: IntArray) -> list[int]:
        def turns(example: Example, titles: Titles) -> list[Message]:
            shown = [titles[event.item_index] for event in example.history]
            return messages(shown, self.words, self.config.style)

        events = tuple(Event(int(item), None, None) for item in history)
        example = Example("", events, -1, None)
        return fitted_history(example, self._short, turns, self.backbone.tokenizer, self.prompt_limit).ids

    def write(self, histories: Sequence[IntArray]) -> list[str]:
        """Greedily decoded title for each history; the catalog need not hold it."""
        tokenizer = self.backbone.tokenizer
        longest = max(map(len, self.title_tokens))
        engine = SharedPrefixEngine(self.backbone, tokenizer.eos_token, appends_marker=False)
        sampling = SamplingConfig(temperature=0.0, max_completion_length=longest)
        titles: list[str] = []
        for start in range(0, len(histories), ROWS_AT_ONCE):
            replies = engine.sample(self.prompts(histories[start : start + ROWS_AT_ONCE]), sampling)
            for ids, length in zip(replies.reply_ids.tolist(), replies.lengths.tolist(), strict=True):
                titles.append(str(tokenizer.decode(ids[:length], skip_special_tokens=True)).strip())
        return titles

    def reader(self, histories: Sequence[IntArray]) -> NextLogits:
        """Next-token logits of the model after these histories, for `beam_search`."""
        backbone = self.backbone
        with backbone.evaluating():
            states, last = backbone.read_prompts(backbone.pad(self.prompts(histories)))

        def next_logits(users: Tensor, prefixes: Tensor, lengths: Tensor) -> Tensor:
            chosen, beams = users.to(last.device), prefixes.shape[1]
            with backbone.evaluating():
                if prefixes.shape[2] == 0:
                    return backbone.logits(last[chosen])[:, None].expand(-1, beams, -1).cpu()
                # Prefixes are a few tokens long, so they are read again at every step; no cache must follow the beams.
                reader = states.rows(chosen).reader(beams)
                hidden = backbone.read_replies(prefixes.flatten(0, 1).to(last.device), reader)  # [m * B, T, D]
                end = hidden[torch.arange(len(hidden)), lengths.flatten() - 1]
                return backbone.logits(end).cpu().view(len(users), beams, -1)

        return next_logits

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Mean final hidden state over the tokens of each text, read without a prompt: [n, D] float32 on the CPU."""
        backbone, end = self.backbone, self.backbone.tokenizer.eos_token_id
        sequences = [tokens[: backbone.positions] or [end] for tokens in backbone.tokenize(texts)]
        parts = []
        with backbone.evaluating():
            for start in range(0, len(sequences), ROWS_AT_ONCE):
                batch = backbone.pad(sequences[start : start + ROWS_AT_ONCE])
                hidden = backbone.hidden(batch.ids).float()  # [n, L, D]
                inside = torch.arange(batch.ids.shape[1], device=hidden.device) < batch.lengths[:, None]
                parts.append(((hidden * inside[..., None]).sum(dim=1) / batch.lengths[:, None]).cpu())
        return torch.cat(parts)

    @property
    def numbers_learned(self) -> int:
        """Number of trained weights: the adapters, or the whole model."""
        return sum(weight.numel() for weight in self.backbone.model.parameters() if weight.requires_grad)

    # -- storage ------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write the model, its tokenizer, and the item and action words of the prompt."""
        with quiet_transformers():
            self.backbone.save(folder / MODEL_FOLDER)
        write_text(folder / WRITER_FILE, json.dumps(self.words, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path, titles: Sequence[str], config: WriterConfig) -> Self:
        """Read what `save` wrote. Raises CheckpointError where a part is missing or damaged."""
        words = read_json(folder / WRITER_FILE, Each(str), fix="fit and save it again")
        with quiet_transformers():
            backbone = load_backbone(folder / MODEL_FOLDER, dtype=config.dtype)
        backbone.model.eval()
        return cls(backbone, titles, words, config)


def _start(dataset: Dataset, config: WriterConfig, seed: int) -> Backbone:
    """The backbone before fine-tuning."""
    if config.backbone != NEW:
        return load_backbone(config.backbone, dtype=config.dtype, lora=config.lora, seed=seed)
    with tempfile.TemporaryDirectory() as folder, quiet_transformers():
        path = new_backbone(dataset, Path(folder) / MODEL_FOLDER, config=config.new, seed=seed, progress=False)
        return load_backbone(path, dtype=config.dtype)


def _trained(model: Any) -> list[str]:
    """Names of the trained weights; tied weights appear once."""
    changing = {name for name, weight in model.named_parameters() if weight.requires_grad}
    return [name for name in model.state_dict() if name in changing]
