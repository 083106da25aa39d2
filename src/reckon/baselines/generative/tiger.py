"""TIGER: a sequence-to-sequence model from the semantic ids of the history to that of the next item.

Entry point: `TIGER`. The ids come from `semantic_ids`, the model is transformers' T5 at a small size, and the list
comes from a beam search over the ids of the catalog. Departures from the paper: no user token, because a recommender
gets only a history; probabilities are renormalised over the codes that lead to an item; training stops by validation
NDCG@10, not after a fixed number of steps.

Source: Rajput et al. 2023, Recommender Systems with Generative Retrieval (arXiv 2305.05065) section 3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutput

from reckon.baselines.baseline import Fitting, validation_rows
from reckon.baselines.generative.beam_baseline import BeamBaseline
from reckon.baselines.generative.rqvae import RQVAEConfig
from reckon.baselines.generative.semantic_ids import PAD, START, as_tokens, semantic_ids
from reckon.baselines.generative.token_trie import NextLogits, TokenTrie
from reckon.baselines.sequential.batches import batches_of_like_length
from reckon.data import Catalog, Dataset, Examples
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError, ConfigError, ReckonError
from reckon.metrics.ranking import rank_values
from reckon.models.backbone import default_device
from reckon.models.sentence_encoder import STATIC
from reckon.training.best import Best, BestWeights
from reckon.training.one_process import require_one_process

MODEL = "model."  # prefix of the model's tensor names in the saved file


@dataclass(frozen=True, slots=True, kw_only=True)
class TIGERConfig:
    """Settings of `tiger`."""

    encoder: str = STATIC
    """Sentence encoder of the item texts: `static`, or a hub id or folder of sentence-transformers."""

    item_words: int = 32
    """Words of each item's text beside its title, >= 0."""

    ids: RQVAEConfig = field(default_factory=RQVAEConfig)
    """Settings of the semantic ids."""

    window: int = 20
    """Latest events of the history that are read, >= 1."""

    hidden_size: int = 128
    """Width of the T5, a multiple of heads."""

    layers: int = 2
    """Layers of the encoder, and as many of the decoder, >= 1; the paper has 4 of each."""

    heads: int = 4
    """Attention heads, >= 1."""

    dropout: float = 0.1
    """Dropout rate of the T5, in [0, 1)."""

    learning_rate: float = 1e-3
    """Constant learning rate of AdamW, > 0."""

    weight_decay: float = 0.01
    """AdamW's decoupled weight decay, >= 0."""

    batch_size: int = 128
    """Rows per update, >= 1."""

    max_epochs: int = 30
    """Most passes over the training rows, >= 1."""

    patience: int = 3
    """Training stops after this many epochs without a better validation NDCG@10, >= 1. The best epoch is kept."""

    validation_size: int = 500
    """Most validation rows of the fixed sample for early stopping, >= 1."""

    beam: int = 20
    """Beam width, in partial ids per user, >= 1; a target outside the beam is a miss."""

    def __post_init__(self) -> None:
        least = ("window", "hidden_size", "layers", "heads", "batch_size", "max_epochs", "patience", "validation_size")
        for name in (*least, "beam"):
            if getattr(self, name) < 1:
                raise ConfigError(name, getattr(self, name), "must be at least 1", "use the default")
        if self.hidden_size % self.heads:
            raise ConfigError("hidden_size", self.hidden_size, f"must be a multiple of {self.heads} heads", "use 128")
        if self.item_words < 0 or self.weight_decay < 0:
            name = "item_words" if self.item_words < 0 else "weight_decay"
            raise ConfigError(name, getattr(self, name), "must not be negative", "use the default")
        if not 0 <= self.dropout < 1:
            raise ConfigError("dropout", self.dropout, "must lie in [0, 1)", "use 0.1")
        if self.learning_rate <= 0:
            raise ConfigError("learning_rate", self.learning_rate, "must be positive", "use 1e-3")


class TIGER(BeamBaseline):
    """Writes the semantic id of the next item."""

    NAME = "tiger"
    CONFIG = TIGERConfig
    SEARCH: ClassVar[Mapping[str, Sequence[Any]]] = {
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "dropout": (0.1, 0.3),
        "layers": (2, 4),
    }

    def __init__(
        self, catalog: Catalog, config: TIGERConfig, exclude_seen: bool, ids: Tensor, model: T5ForConditionalGeneration
    ) -> None:
        """`ids` are the semantic ids of the catalog [I, C + 1]."""
        self.ids, self.model = ids, model
        self.model.to(default_device())  # type: ignore[arg-type] # wrapped in a way that hides its signature
        self.tokens, vocabulary = as_tokens(ids)  # [I, C + 1]
        super().__init__(catalog, config, exclude_seen, TokenTrie.of(self.tokens.tolist()), vocabulary)

    @classmethod
    def learn(cls, dataset: Dataset, config: Any, fitting: Fitting) -> Self:
        ids = semantic_ids(dataset.catalog, config.ids, config.encoder, config.item_words, fitting.seed)
        with torch.random.fork_rng():
            torch.manual_seed(fitting.seed)  # weights, dropout
            fitted = cls(dataset.catalog, config, fitting.exclude_seen, ids, _new_model(ids, config))
            fitted._train(dataset, fitting.seed, fitting.on_progress)
        return fitted

    def _train(self, dataset: Dataset, seed: int, on_progress: Callable[[float], None]) -> None:
        require_one_process()
        cfg: TIGERConfig = self.config
        train = dataset.examples("train", cfg.window)
        valid = validation_rows(dataset, cfg.validation_size, seed, cfg.window)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=cfg.learning_rate, weight_decay=cfg.weight_decay)
        generator, lengths = torch.Generator().manual_seed(seed), torch.from_numpy(train.end - train.start)
        best = BestWeights(self.model, Best(metric="ndcg@10", patience=cfg.patience))
        best.see(self._ndcg(valid), 0)
        for epoch in range(1, cfg.max_epochs + 1):
            self.model.train()
            for rows in batches_of_like_length(lengths, cfg.batch_size, generator):
                loss = self._loss(train, rows)
                if not bool(torch.isfinite(loss)):
                    raise ReckonError(
                        f"tiger, epoch {epoch}: the loss is {loss.item()}: training has diverged. "
                        "Fix: lower learning_rate."
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                optimizer.step()
            best.see(self._ndcg(valid), epoch)
            on_progress(epoch / cfg.max_epochs)
            if best.is_spent(epoch):
                break
        best.restore()
        on_progress(1.0)

    def _ndcg(self, valid: Examples) -> float:
        self.model.eval()
        return float(rank_values(self.ranks(valid, 10).ranks, "ndcg@10", len(self.catalog)).mean())

    def _loss(self, examples: Examples, rows: Tensor) -> Tensor:
        """Mean negative log-likelihood of the targets' tokens, a scalar in nats per token."""
        inputs, mask = self._read([examples.history(row) for row in rows.tolist()])
        targets = self.tokens[torch.from_numpy(examples.targets[rows.numpy()]).long()].to(inputs.device)  # [n, C + 1]
        logits = self.model(input_ids=inputs, attention_mask=mask, labels=targets).logits  # [n, C + 1, V]
        return cross_entropy(logits.flatten(0, 1), targets.flatten())

    def _read(self, histories: Sequence[IntArray]) -> tuple[Tensor, Tensor]:
        """Histories as tokens [n, L], padded on the right, and the mask [n, L], 1 where a token counts."""
        sequences = []
        for history in histories:
            items = torch.from_numpy(history[-self.config.window :].astype("int64"))
            sequences.append(torch.cat([torch.tensor([START]), self.tokens[items].flatten()]))
        ids = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=PAD)
        return ids.to(self.model.device), (ids != PAD).to(self.model.device)

    def reader(self, histories: Sequence[IntArray]) -> NextLogits:
        inputs, mask = self._read(histories)
        with torch.no_grad():
            states = self.model.encoder(input_ids=inputs, attention_mask=mask).last_hidden_state  # [n, L, D]

        def next_logits(users: Tensor, prefixes: Tensor, lengths: Tensor) -> Tensor:
            beams = prefixes.shape[1]
            rows = users.to(states.device).repeat_interleave(beams)
            begun = torch.nn.functional.pad(prefixes.flatten(0, 1), (1, 0), value=PAD)  # [m * B, 1 + T]
            with torch.no_grad():
                logits = self.model(
                    encoder_outputs=BaseModelOutput(last_hidden_state=states[rows]),
                    attention_mask=mask[rows],
                    decoder_input_ids=begun.to(states.device),
                    use_cache=False,
                ).logits  # [m * B, 1 + T, V]
            last = logits.float().cpu()[torch.arange(len(begun)), lengths.flatten()]
            return last.view(len(users), beams, -1)

        return next_logits

    def tensors(self) -> dict[str, Tensor]:
        # Parameters, not the state dict: the embedding shared by encoder, decoder and output is stored once.
        return {"ids": self.ids, **{MODEL + name: weight.data for name, weight in self.model.named_parameters()}}

    @classmethod
    def from_tensors(cls, catalog: Catalog, config: Any, exclude_seen: bool, tensors: dict[str, Tensor]) -> Self:
        model = _new_model(tensors["ids"], config)
        stored = {name.removeprefix(MODEL): value for name, value in tensors.items() if name.startswith(MODEL)}
        try:
            for name, weight in model.named_parameters():
                weight.data.copy_(stored[name])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(cls.NAME, f"has other weights ({error})", "fit and save it again") from None
        return cls(catalog, config, exclude_seen, tensors["ids"], model.eval())


def _new_model(ids: Tensor, config: TIGERConfig) -> T5ForConditionalGeneration:
    """An untrained T5 for these ids [I, C + 1]; its random weights come from torch's global generator."""
    settings: dict[str, Any] = dict(
        vocab_size=as_tokens(ids)[1],
        d_model=config.hidden_size,
        d_kv=config.hidden_size // config.heads,
        d_ff=4 * config.hidden_size,
        num_layers=config.layers,
        num_decoder_layers=config.layers,
        num_heads=config.heads,
        dropout_rate=config.dropout,
        pad_token_id=PAD,
        decoder_start_token_id=PAD,
        eos_token_id=None,
    )
    return T5ForConditionalGeneration(T5Config(**settings))
