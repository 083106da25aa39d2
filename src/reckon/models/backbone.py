"""The language model under every method: any Hugging Face decoder, full or with LoRA.

Entry points: `load_backbone` reads a hub id or a folder; `Backbone` runs it: hidden states of plain sequences, of
prompts, of replies that share prompts, and next-token logits from hidden states. It never calls the model's own
`generate`, so a checkpoint's generation defaults cannot leak into sampling.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from reckon.errors import CheckpointError, ConfigError
from reckon.models.shared_prefix import ATTENTION_NAME, PrefixStates, ReadPrefix, RecordPrefix

DType = Literal["float32", "bfloat16"]
FINGERPRINT_VALUES = 256  # of each tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters. Section `lora` of the run config; r = 0 trains all weights."""

    r: int = 0
    """Rank of the adapters; 0 fine-tunes the whole model."""

    alpha: int = 16
    """Scale of the adapters: the update is multiplied by alpha / r."""

    dropout: float = 0.0
    """Dropout inside the adapters, in [0, 1)."""

    def __post_init__(self) -> None:
        if self.r < 0:
            raise ConfigError("lora.r", self.r, "a rank cannot be negative", "use 0 for full fine-tuning, or 4 as R2ec")
        if not 0 <= self.dropout < 1:
            raise ConfigError("lora.dropout", self.dropout, "must lie in [0, 1)", "use 0.0")


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Token sequences padded on the right."""

    ids: Tensor  # [n, L]
    lengths: Tensor  # [n]

    @classmethod
    def pad(cls, sequences: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> "TokenBatch":
        """Sequences of any lengths, each at least one token."""
        ids = torch.full((len(sequences), max(map(len, sequences))), pad_id, dtype=torch.long)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence)] = torch.tensor(sequence)
        lengths = torch.tensor([len(sequence) for sequence in sequences])
        return cls(ids.to(device), lengths.to(device))

    def part(self, rows: Tensor) -> "TokenBatch":
        """Some of the sequences, padded no further than the longest of them."""
        lengths = self.lengths[rows]
        return TokenBatch(self.ids[rows, : int(lengths.max())], lengths)


class Backbone:
    """A causal language model with its tokenizer, seen as hidden states and a next-token head."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model, tokenizer  # a PreTrainedModel, or a PeftModel around one
        self.causal_lm: PreTrainedModel = model.get_base_model() if hasattr(model, "peft_config") else model
        self.causal_lm.set_attn_implementation(ATTENTION_NAME)
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token_id is None:
            raise ConfigError(
                "backbone",
                tokenizer.name_or_path,
                "its tokenizer has neither a pad nor an end token",
                "set tokenizer.pad_token and save the tokenizer again",
            )
        self._check_head()

    @property
    def name(self) -> str:
        """Hub id or folder that the weights came from."""
        return str(self.causal_lm.name_or_path)

    def fingerprint(self) -> str:
        """12 hex digits that tell weights apart: of the first values of every tensor but adapters, which start anew."""
        digest = hashlib.sha256()
        for name, weight in self.causal_lm.named_parameters():
            if "lora_" not in name:
                digest.update(f"{name} {tuple(weight.shape)}".encode())
                digest.update(weight.detach().flatten()[:FINGERPRINT_VALUES].float().cpu().numpy().tobytes())
        return digest.hexdigest()[:12]

    @property
    def device(self) -> torch.device:
        return self.causal_lm.device

    @property
    def config(self) -> Any:
        """The text model's configuration."""
        return self.causal_lm.config.get_text_config()

    @property
    def positions(self) -> int | None:
        """Tokens that the model can read and write in all; None where its configuration names no limit."""
        return getattr(self.config, "max_position_embeddings", None)

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    @property
    def decoder(self) -> torch.nn.Module:
        return self.causal_lm.get_decoder()

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole texts, with the tokenizer's own start token where it has one."""
        return self.tokenizer(list(texts), padding=False, truncation=False)["input_ids"]

    def pad(self, sequences: Sequence[Sequence[int]]) -> TokenBatch:
        return TokenBatch.pad(sequences, self.tokenizer.pad_token_id, self.device)

    def last_hidden(self, batch: TokenBatch) -> Tensor:
        """Final hidden state of each sequence's last token: [n, D]."""
        hidden = self._decode(batch.ids, self._positions(batch.ids), None)
        return gather_rows(hidden, batch.lengths - 1)

    def read_prompts(self, prompts: TokenBatch) -> tuple[PrefixStates, Tensor]:
        """Run each prompt once: its keys and values, and the final hidden state of its last token [B, D]."""
        states = PrefixStates(prompts.lengths)
        hidden = self._decode(prompts.ids, self._positions(prompts.ids), RecordPrefix(states))
        return states, gather_rows(hidden, prompts.lengths - 1)

    def read_replies(self, ids: Tensor, reader: ReadPrefix) -> Tensor:
        """Final hidden states of reply tokens [N, T] that follow what `reader` has seen: [N, T, D]."""
        start = reader.states.lengths.repeat_interleave(reader.group_size)[:, None] + reader.filled
        hidden = self._decode(ids, start + torch.arange(ids.shape[1], device=ids.device), reader)
        reader.advance(ids.shape[1])
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in float32: [..., D] to [..., V]."""
        logits = self.causal_lm.get_output_embeddings()(hidden).float()
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No gradients, no dropout; the model's mode is restored."""
        was_training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():  # not inference_mode: rollouts are indexed again inside the training pass
                yield
        finally:
            self.model.train(was_training)

    def _decode(self, ids: Tensor, positions: Tensor, prefix: RecordPrefix | ReadPrefix | None) -> Tensor:
        extra = {} if prefix is None else {"prefix": prefix}
        return self.decoder(input_ids=ids, position_ids=positions, use_cache=False, **extra).last_hidden_state

    @staticmethod
    def _positions(ids: Tensor) -> Tensor:
        return torch.arange(ids.shape[1], device=ids.device).expand_as(ids)

    def _check_head(self) -> None:
        """Some families scale their logits in ways of their own; a wrong head would train silently."""
        with self.evaluating():
            ids = torch.arange(4, device=self.device)[None]
            ours = self.logits(self._decode(ids, self._positions(ids), None))
            theirs = self.causal_lm(input_ids=ids).logits.float()
        if not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2):
            raise ConfigError(
                "backbone",
                self.causal_lm.config.model_type,
                "computes its logits in an unknown way",
                "use a Qwen, Llama, Mistral or Gemma model, or report the family",
            )


def gather_rows(hidden: Tensor, positions: Tensor) -> Tensor:
    """One token of each row: hidden [n, L, D] at positions [n] gives [n, D]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


def load_backbone(
    path: str | Path,
    *,
    dtype: DType = "float32",
    lora: LoraSettings | None = None,
    gradient_checkpointing: bool = False,
    device: str | torch.device | None = None,
    seed: int = 0,
) -> Backbone:
    """Load a causal language model and its tokenizer.

    Args:
        path: a hub id, or a folder written by `save_pretrained` or `reckon backbone new`.
        dtype: dtype of the weights.
        lora: adapters to add; None or r = 0 trains all weights.
        gradient_checkpointing: keep layer inputs only and recompute in the backward pass.
        device: where to put it; default: the first accelerator, else the CPU.
        seed: of the weights that new adapters start from.

    Raises:
        CheckpointError: there is no such model, or it is not readable.
    """
    if Path(path).is_dir():
        path = Path(path).resolve()  # adapters store where their base lies; a relative path holds in one folder only
    base = _base_of_adapters(Path(path))
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        if base is None:
            model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            path,
            f"cannot be loaded as a causal language model ({_first_line(error)})",
            "give a hub id or a folder with config.json, weights and tokenizer",
        ) from error
    if base is not None:
        if lora is not None and lora.r > 0:
            raise ConfigError("lora.r", lora.r, f"{path} holds adapters already", "set it to 0 to go on training those")
        model = _load_adapters(Path(path), base, dtype)
    elif lora is not None and lora.r > 0:
        from peft import LoraConfig, get_peft_model

        settings = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # the CPU's, where they are drawn
            model = get_peft_model(model, settings)
    if gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if hasattr(model, "peft_config"):
            model.enable_input_require_grads()
    return Backbone(model.to(device or default_device()), tokenizer)


def _base_of_adapters(path: Path) -> str | None:
    """The model that a folder's adapters belong to; None where it holds a whole model."""
    file = path / "adapter_config.json"
    return json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"] if file.exists() else None


def _load_adapters(path: Path, base: str, dtype: DType) -> Any:
    from peft import PeftModel

    try:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            path,
            f"holds adapters of {base}, which cannot be loaded ({_first_line(error)})",
            "put that model back, or set base_model_name_or_path in adapter_config.json",
        ) from error
    return PeftModel.from_pretrained(model, path, is_trainable=True)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def default_device() -> torch.device:
    """The first accelerator, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
