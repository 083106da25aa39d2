"""Make a small language model from a data set's own text, where no open model can be downloaded.

Entry point: `new_backbone`, behind `reckon backbone new`. It trains a tokenizer on the data set's own text, builds a
small Seed-OSS decoder, chooses its initial weights (`lexical` for ranking, `induction` for ratings) and pretrains it on
`pretrain_texts`, or on `pretrain_rating_texts` where it will predict ratings. The result is a Hugging Face folder for
`AutoModelForCausalLM` and `AutoTokenizer`.

The model stands in for an open LLM; it knows only the words of this data set. Ranking is not trained here.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy
from transformers import PreTrainedTokenizerFast, SeedOssConfig, SeedOssForCausalLM

from reckon.config import load_config, save_config
from reckon.data import Dataset
from reckon.errors import CheckpointError, ConfigError
from reckon.files import check_target, new_directory
from reckon.locks import locked
from reckon.models.backbone import load_backbone
from reckon.models.model_files import save_model
from reckon.progress import phase
from reckon.prompts import rporec
from reckon.prompts.r2ec import MARKER
from reckon.prompts.rating_reply import BAD, GOOD, TAGS
from reckon.small_backbone.induction import start_with_induction
from reckon.small_backbone.lexical import start_from_words
from reckon.small_backbone.next_item_texts import PretrainingText, item_documents, pretraining_texts, shuffled
from reckon.small_backbone.purpose import record_purpose
from reckon.small_backbone.rating_texts import rating_texts
from reckon.small_backbone.rporec_texts import rporec_texts
from reckon.small_backbone.tokenizer import train_tokenizer
from reckon.training.one_process import require_one_process
from reckon.training.schedule import rate_share

Size = Literal["tiny", "small"]
Task = Literal["ranking", "rating", "rporec"]
Initial = Literal["lexical", "induction", "random"]
CONFIG_FILE = "reckon_backbone.yaml"
ROPE_THETA: dict[Initial, float] = {"lexical": 1e4, "induction": 1e8, "random": 1e4}
SMALLEST_VOCABULARY = 260  # bytes and special tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainConfig:
    """Settings of a small backbone. Config of `reckon backbone new`."""

    hidden_size: int = 128
    """Width (D), a multiple of 2 * heads. Random word vectors need about 128 dimensions to be distinct."""

    layers: int = 4
    """Decoder layers, at least 1."""

    heads: int = 4
    """Attention heads, >= 1, each with its own keys and values."""

    intermediate_size: int = 384
    """Width of the feed-forward blocks, at least 1."""

    vocab_size: int = 8000
    """Most tokens of the vocabulary, >= 260; large enough that frequent words are one token."""

    max_tokens: int = 512
    """Most tokens of one pretraining text, > 1; a longer text loses its beginning."""

    item_words: int = 0
    """Words of each item prompt after its title, >= 0. They move the title away from the marker: on one catalog 24
    words lowered the untrained Hit@10 from 0.151 to 0.132."""

    initial: Initial = "lexical"
    """Weights before pretraining: `lexical` (word statistics of the catalog, for ranking), `induction` (heads that look
    up earlier occurrences of a word, for ratings), or `random`."""

    half_life: float = 20.0
    """Lexical weights: distance in tokens at which a word's weight halves, > 0; about one title."""

    steps: int = 400
    """Optimiser steps of pretraining, >= 0; 0 keeps the initial weights."""

    batch_size: int = 32
    """Texts per step, > 0."""

    learning_rate: float = 2e-3
    """Peak learning rate of AdamW, > 0; linear warm-up, then linear decay."""

    anchor: float = 10.0
    """Weight of the anchor loss, 1 - cosine between the state at a final marker and the same state before pretraining,
    >= 0. Without it, next-token training soon unlearns the lexical ranking. Other initial weights get no anchor."""

    def __post_init__(self) -> None:
        if self.anchor < 0:
            raise ConfigError("anchor", self.anchor, "must not be negative", "use 10, or 0 for none")
        for name in ("hidden_size", "layers", "heads", "intermediate_size", "item_words", "batch_size"):
            if getattr(self, name) < (name != "item_words"):
                raise ConfigError(name, getattr(self, name), "must be at least 1", "use the default")
        if self.hidden_size % (2 * self.heads):
            raise ConfigError(
                "hidden_size",
                self.hidden_size,
                f"must be a multiple of 2 * heads ({2 * self.heads})",
                f"use {2 * self.heads * max(1, round(self.hidden_size / (2 * self.heads)))}",
            )
        if self.initial != "random" and self.hidden_size // self.heads < 8:
            raise ConfigError(
                "heads",
                self.heads,
                f"{self.initial} initial weights need heads of at least 8 channels",
                "use fewer heads, or initial=random",
            )
        if self.vocab_size < SMALLEST_VOCABULARY:
            raise ConfigError("vocab_size", self.vocab_size, f"must be at least {SMALLEST_VOCABULARY}", "use 8000")
        if self.max_tokens < 2 or self.steps < 0:
            name = "steps" if self.steps < 0 else "max_tokens"
            raise ConfigError(name, getattr(self, name), "is too small", "use the default")
        if self.half_life <= 0 or self.learning_rate <= 0:
            name = "half_life" if self.half_life <= 0 else "learning_rate"
            raise ConfigError(name, getattr(self, name), "must be positive", "use the default")


SIZES: dict[Size, PretrainConfig] = {
    "tiny": PretrainConfig(),
    "small": PretrainConfig(hidden_size=256, layers=6, intermediate_size=768, vocab_size=12_000),
}


def pretrain_config(size: Size, task: Task) -> PretrainConfig:
    """Settings of a size for a task. Tasks that look up ratings or words of the prompt start with induction heads."""
    return SIZES[size] if task == "ranking" else replace(SIZES[size], initial="induction")


@locked()
def new_backbone(
    dataset: Dataset,
    out: str | Path,
    *,
    size: Size = "tiny",
    task: Task = "ranking",
    seed: int = 0,
    overrides: Sequence[str] = (),
    config: PretrainConfig | None = None,
    start: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Make a backbone for one data set.

    Args:
        dataset: source of the text: catalog, training interactions and, if present, notes.
        out: the model folder to make; must not exist, or be empty.
        size: `tiny` (0.9 M parameters beside the embeddings) or `small` (5 M).
        task: what the backbone is for: `ranking` (R2ec), `rating` (RecZero, RecOne) or `rporec`; it decides the prompts
            in the pretraining texts.
        seed: of weights and batches; one seed on one machine always gives the same weights.
        overrides: `field=value` strings for `PretrainConfig`.
        config: settings in place of those of `size` and `task`.
        start: a small backbone, or the `model` folder of a run trained from one, to continue from with its tokenizer
            and weights; the anchor then keeps its states. A model that forgot to write during training for ranking
            learns it again this way.
        progress: show a progress bar.

    Returns:
        `out` as a Path.

    Raises:
        ConfigError: an override is unknown or breaks a rule, or several processes were launched.
        DataError: `out` exists and is not empty, the notes are unreadable, or the task is `rating` and the data has no
            ratings. No partial folder is left.
    """
    require_one_process()
    out = Path(out)
    config = load_config(PretrainConfig, overrides=overrides, base=config or pretrain_config(size, task))
    check_target(out, overwrite=False)
    documents = item_documents(dataset, config.item_words)
    if task == "rating":
        texts, tags = rating_texts(dataset, seed=seed), [*TAGS, GOOD, BAD]
    elif task == "rporec":
        texts, tags = rporec_texts(dataset, seed=seed), [tag for tag in rporec.TAGS if tag != MARKER]
    else:
        texts, tags = pretraining_texts(dataset, item_words=config.item_words, seed=seed), []
    if start is None:
        tokenizer = train_tokenizer(documents + [text.prompt + text.written for text in texts], config.vocab_size, tags)
        model = build_decoder(tokenizer, documents, config, seed)
        if config.initial != "lexical":
            config = replace(config, anchor=0)  # only lexical states rank before training
    else:
        tokenizer, model = _started(Path(start))
    pretrain(model, tokenizer, texts, config, seed, progress=progress)
    with new_directory(out) as folder:
        save_config(config, folder / CONFIG_FILE)
        record_purpose(folder, task)
        save_model(model, tokenizer, folder)
    return out


def _started(path: Path) -> tuple[PreTrainedTokenizerFast, SeedOssForCausalLM]:
    """Tokenizer and weights of an earlier small backbone."""
    backbone = load_backbone(path, device="cpu")
    if not isinstance(backbone.causal_lm, SeedOssForCausalLM):
        raise CheckpointError(path, "is no small backbone", "give a folder of `reckon backbone new`, or a run's model")
    backbone.causal_lm.set_attn_implementation("sdpa")
    return cast(PreTrainedTokenizerFast, backbone.tokenizer), backbone.causal_lm


def build_decoder(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[str], config: PretrainConfig, seed: int
) -> SeedOssForCausalLM:
    """A decoder with initial weights for this vocabulary; `documents` are the item texts of the lexical statistics.

    The architecture is Seed-OSS: a Llama with biases on queries, keys and values, which the initial weights need. Qwen2
    has such biases, too, but AutoTokenizer replaces the rules of a tokenizer in a Qwen2 folder. A Llama with attention
    biases has one on the output as well, with which RecPO needed three times as many updates on the bookshop.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SeedOssForCausalLM(
            SeedOssConfig(
                vocab_size=len(tokenizer),
                hidden_size=config.hidden_size,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                num_key_value_heads=config.heads,
                intermediate_size=config.intermediate_size,
                max_position_embeddings=4096,
                rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA[config.initial]},
                head_dim=config.hidden_size // config.heads,
                attention_bias=True,
                attention_out_bias=False,
                attention_dropout=0.0,
                residual_dropout=0.0,
                tie_word_embeddings=True,
                pad_token_id=tokenizer.pad_token_id,
                eos_token_id=tokenizer.eos_token_id,
                bos_token_id=None,
            )
        )
    if config.initial == "lexical":
        start_from_words(model, tokenizer, documents, half_life=config.half_life, seed=seed)
    elif config.initial == "induction":
        start_with_induction(model, seed)
    return model


def pretrain(
    model: SeedOssForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[PretrainingText],
    config: PretrainConfig,
    seed: int,
    *,
    progress: bool = True,
) -> list[float]:
    """Train on the next tokens of the written parts; returns the loss of each step in nats per token."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.0)
    warmup = max(1, config.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(rate_share, warmup=warmup, updates=config.steps))
    start = copy.deepcopy(model).eval() if config.anchor > 0 else None
    losses: list[float] = []
    model.train()
    with phase("pretraining", total=config.steps, shown=progress) as pretraining:
        for batch in _batches(tokenizer, texts, config, seed):
            hidden = model.model(input_ids=batch.ids).last_hidden_state  # [n, L, D]
            loss = _next_token_loss(model, hidden, batch)
            losses.append(float(loss.detach()))
            if start is not None and batch.anchored.any():
                loss = loss + config.anchor * _distance_from_start(start, hidden, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            pretraining.advance(1)
            pretraining.note = f"loss {losses[-1]:.2f}"
    model.eval()
    return losses


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch of texts, padded on the right."""

    ids: Tensor  # [n, L]
    counts: Tensor  # [n, L] True for tokens in the next-token loss
    lengths: Tensor  # [n]
    anchored: Tensor  # [n] True for texts that end at the marker


def _batches(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[PretrainingText], config: PretrainConfig, seed: int
) -> Iterator[_Batch]:
    """Yield `config.steps` batches; every text is used once before any is repeated."""
    generator = np.random.default_rng(seed)
    queue: list[PretrainingText] = []
    for _ in range(config.steps):
        while len(queue) < config.batch_size:
            queue += shuffled(list(texts), generator)
        chosen, queue = queue[: config.batch_size], queue[config.batch_size :]
        prompts = tokenizer([text.prompt for text in chosen])["input_ids"]
        written = tokenizer([text.written for text in chosen])["input_ids"]
        ends = [[] if text.ends_at_marker else [tokenizer.eos_token_id] for text in chosen]
        whole = [
            (read + said + end)[-config.max_tokens :] for read, said, end in zip(prompts, written, ends, strict=True)
        ]
        ids = torch.full((len(chosen), max(map(len, whole))), tokenizer.pad_token_id)
        counts = torch.zeros(ids.shape, dtype=torch.bool)
        for row, (tokens, said, end) in enumerate(zip(whole, written, ends, strict=True)):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            counts[row, max(0, len(tokens) - len(said) - len(end)) : len(tokens)] = True
        yield _Batch(
            ids,
            counts,
            torch.tensor([len(tokens) for tokens in whole]),
            torch.tensor([text.ends_at_marker for text in chosen]),
        )


def _next_token_loss(model: SeedOssForCausalLM, hidden: Tensor, batch: _Batch) -> Tensor:
    """Negative log-likelihood per counted token, averaged over each text, then over texts: an average over all tokens
    would be dominated by long item prompts. Logits are computed for counted tokens only."""
    said = batch.counts[:, 1:]
    losses = cross_entropy(model.lm_head(hidden[:, :-1][said]), batch.ids[:, 1:][said], reduction="none")
    per_text = said.sum(dim=1)  # [n]
    weights = (1 / per_text.clamp_min(1))[:, None].expand(said.shape)[said]
    return (losses * weights).sum() / (per_text > 0).sum().clamp_min(1)


def _distance_from_start(start: SeedOssForCausalLM, hidden: Tensor, batch: _Batch) -> Tensor:
    """Mean of 1 - cosine between the states [n, L, D] at final markers and those of the untrained model."""
    with torch.no_grad():
        before = start.model(input_ids=batch.ids).last_hidden_state
    rows = batch.anchored.nonzero()[:, 0]
    at_marker = batch.lengths[rows] - 1
    return (1 - cosine_similarity(hidden[rows, at_marker], before[rows, at_marker], dim=-1)).mean()
