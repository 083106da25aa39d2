"""The language model under every method: any Hugging Face decoder, full or with LoRA.

Entry points: `load_backbone` reads a hub id or a folder; `Backbone` runs it: hidden states of plain sequences, of
prompts, of replies that share prompts, and next-token logits from hidden states. It never calls the model's own
`generate`, so a checkpoint's generation defaults cannot leak into sampling.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from reckon.checksums import checking
from reckon.errors import ConfigError
from reckon.messages import cut
from reckon.models.hub import check_hub_id
from reckon.models.model_files import (
    base_of_adapters,
    check_model,
    load_model,
    load_tokenizer,
    no_future_warnings,
    save_model,
    weights_fingerprint,
)
from reckon.models.precision import Precision, settled
from reckon.models.prefix.choose import Prefix, PromptStates, choose_prefix
from reckon.models.token_batch import TokenBatch, gather_rows
from reckon.progress import phase

ADAPTER, LORA_OUTPUT = "lora_", "lora_B"  # in names of weights; the second starts as zeros
LOGIT_SCALES = {"logits_scaling": -1, "logit_scale": 1, "lm_head_multiplier": 1}  # config field -> its power


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters. Section `lora` of the run config; r = 0 trains all weights."""

    r: int = 0
    """Rank of the adapters; 0 fine-tunes the whole model."""

    alpha: int = 16
    """Scale of the adapters: the update is multiplied by alpha / r."""

    dropout: float = 0.0
    """Dropout inside the adapters, in [0, 1). Off while a policy is reinforced: the update would see another function
    than the one that wrote the replies."""

    def __post_init__(self) -> None:
        if self.r < 0:
            raise ConfigError("lora.r", self.r, "a rank cannot be negative", "use 0 for full fine-tuning, or 4 as R2ec")
        if not 0 <= self.dropout < 1:
            raise ConfigError("lora.dropout", self.dropout, "must lie in [0, 1)", "use 0.0")


class Backbone:
    """A causal language model with its tokenizer, seen as hidden states and a next-token head."""

    def __init__(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model, tokenizer  # a PreTrainedModel, or a PeftModel around one
        self.causal_lm: PreTrainedModel = model.get_base_model() if hasattr(model, "peft_config") else model
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token_id is None:
            raise ConfigError(
                "backbone",
                tokenizer.name_or_path,
                "its tokenizer has neither a pad nor an end token",
                "set tokenizer.pad_token and save the tokenizer again",
            )
        self.decoder = _decoder_of(self.causal_lm)
        self.prefix = self._prefix()

    @property
    def name(self) -> str:
        """Hub id or folder that the weights came from."""
        return str(self.causal_lm.name_or_path)

    def fingerprint(self) -> str:
        """12 hex digits that tell weights apart, by every value; adapters that have learned nothing are left out."""
        weights = list(self.causal_lm.named_parameters())
        learned = any(LORA_OUTPUT in name and bool(weight.any()) for name, weight in weights)
        return weights_fingerprint((name, weight) for name, weight in weights if learned or ADAPTER not in name)

    @property
    def dtype(self) -> str:
        """Dtype of the weights by its name; adapters are float32."""
        return str(self.causal_lm.dtype).removeprefix("torch.")

    @property
    def identity(self) -> dict[str, str]:
        """What a resumed training may not change: the dtype, so that it goes on bit for bit, and the weights."""
        return {"dtype": self.dtype, "backbone": self.fingerprint()}

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

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of whole texts, with the tokenizer's own start token where it has one."""
        return self.tokenizer(list(texts), padding=False, truncation=False)["input_ids"]

    def pad(self, sequences: Sequence[Sequence[int]]) -> TokenBatch:
        return TokenBatch.pad(sequences, self.tokenizer.pad_token_id, self.device)

    def hidden(self, ids: Tensor) -> Tensor:
        """Final hidden states of sequences that are padded on the right: [n, L] to [n, L, D]."""
        return self.prefix.hidden(ids)

    def last_hidden(self, batch: TokenBatch) -> Tensor:
        """Final hidden state of each sequence's last token: [n, D]."""
        return gather_rows(self.hidden(batch.ids), batch.lengths - 1)

    def read_prompts(self, prompts: TokenBatch) -> tuple[PromptStates, Tensor]:
        """Run each prompt once: what its replies need of it, and the final hidden state of its last token [B, D]."""
        return self.prefix.read_prompts(prompts)

    def read_replies(self, ids: Tensor, reader: Any) -> Tensor:
        """Final hidden states of reply tokens [N, T] that follow what `reader` has seen: [N, T, D].

        `reader` comes from the states of `read_prompts`: `states.reader(group_size)` for whole replies.
        """
        return self.prefix.read_replies(ids, reader)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in float32: [..., D] to [..., V]."""
        head = self.causal_lm.get_output_embeddings()
        logits = head(hidden.to(self.causal_lm.dtype)).float()  # Mamba keeps float32 states beside bfloat16 weights
        logits = logits * logit_scale(self.config)
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if cap is None else torch.tanh(logits / cap) * cap

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """No gradients, no dropout; the model's mode is restored."""
        training = [module for module in self.model.modules() if module.training]
        for module in training:
            module.training = False
        try:
            with torch.no_grad():  # not inference_mode: rollouts are indexed again inside the training pass
                yield
        finally:
            for module in training:
                module.training = True

    def train_without_dropout(self) -> None:
        """The mode for an update that must compute what `evaluating` computed: no dropout, activations recomputed where
        gradient checkpointing is on."""
        self.model.eval()
        for module in self.model.modules():
            # A layer that checkpoints asks its own flag, its dropout asks the flags of the modules in it.
            module.training = bool(getattr(module, "gradient_checkpointing", False))

    def frozen_copy(self) -> "Backbone":
        """The same model with weights of its own that do not train; it reads as this one does."""
        twin = copy.copy(self)
        twin.model = copy.deepcopy(self.model).requires_grad_(False)
        twin.causal_lm = twin.model.get_base_model() if hasattr(twin.model, "peft_config") else twin.model
        twin.decoder = _decoder_of(twin.causal_lm)
        twin.prefix = self.prefix.of(twin.decoder)
        return twin

    def save(self, folder: Path) -> None:
        """Write weights and tokenizer, with their checksums, as `load_backbone` reads them."""
        save_model(self.model, self.tokenizer, folder)

    def _prefix(self) -> Prefix:
        """The way of reading that is right for this model, once its logits are known to be ours."""
        head = self.causal_lm.get_output_embeddings()
        if head is None:
            raise ConfigError(
                "backbone", self.name, "has no next-token head", "use a causal language model (docs/models.md)"
            )
        with self.evaluating():
            prefix = choose_prefix(self.causal_lm, self.decoder, head.weight.shape[0])
            ids = torch.arange(4, device=self.device)[None]
            ours, theirs = self.logits(prefix.hidden(ids)), self.causal_lm(input_ids=ids).logits.float()
        # Some families scale their logits in ways of their own; a wrong head would train silently.
        if not torch.allclose(ours, theirs, rtol=1e-2, atol=1e-2):
            raise ConfigError(
                "backbone",
                self.causal_lm.config.model_type,
                "computes its logits in an unknown way",
                "use a Qwen, Llama, Mistral or Gemma model, or report the family",
            )
        return prefix


def _decoder_of(causal_lm: PreTrainedModel) -> torch.nn.Module:
    """The part that makes hidden states; some families name themselves in its place."""
    decoder = causal_lm.get_decoder()
    return decoder if decoder is not causal_lm else getattr(causal_lm, "model", causal_lm.base_model)


def logit_scale(config: Any) -> float:
    """What a family multiplies its logits with: Granite and Cohere, for instance; 1 for most."""
    scale = 1.0
    for name, power in LOGIT_SCALES.items():
        value = getattr(config, name, None)
        if isinstance(value, (int, float)):
            scale *= value**power
    return scale


def load_backbone(
    path: str | Path,
    *,
    dtype: Precision = "float32",
    lora: LoraSettings | None = None,
    gradient_checkpointing: bool = False,
    device: str | torch.device | None = None,
    seed: int = 0,
    verify: bool = True,
) -> Backbone:
    """Load a causal language model and its tokenizer.

    Args:
        path: a hub id, or a folder written by `save_pretrained` or `reckon backbone new`.
        dtype: dtype of the weights; `auto` as in `reckon.models.precision`, where adapters in the folder count too.
        lora: adapters to add; None or r = 0 trains all weights.
        gradient_checkpointing: keep layer inputs only and recompute in the backward pass.
        device: where to put it; default: the first accelerator, else the CPU.
        seed: of the weights that new adapters start from.
        verify: whether to check that the files of a folder that Reckon wrote are as they were written.

    Raises:
        CheckpointError: there is no such model, it is not readable, or a file or a tensor is not as it was written.
    """
    with checking(verify):
        folder = Path(path).resolve()  # adapters store where their base lies; a relative path holds in one folder only
        if folder.is_dir():
            path = folder
            check_model(folder)
        else:
            check_hub_id(str(path))
        base = base_of_adapters(Path(path))
        device = torch.device(device) if device is not None else default_device()
        weights = settled(dtype, adapters=base is not None or (lora is not None and lora.r > 0), device=device)
        if base is not None and lora is not None and lora.r > 0:
            raise ConfigError("lora.r", lora.r, f"{path} holds adapters already", "set it to 0 to go on training those")
        with phase(f"loading {cut(str(path), 80)}"):
            tokenizer, model = load_tokenizer(path), load_model(path, base, weights)
    if lora is not None and lora.r > 0:
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
            with no_future_warnings():
                model = get_peft_model(model, settings)
    if gradient_checkpointing:
        with no_future_warnings():
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if hasattr(model, "peft_config"):
            model.enable_input_require_grads()
    return Backbone(model.to(device), tokenizer)


def default_device() -> torch.device:
    """The first accelerator, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
