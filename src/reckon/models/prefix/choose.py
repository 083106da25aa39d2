"""How a backbone reads prompts and their replies: what both ways answer, and which one is right for a model.

Entry point: `choose_prefix`, called once per loaded backbone. It reads two short prompts of unequal length with two
replies each, one prompt at a time and with the model's own attention; the first way that gives the same states is
taken. So no list of families has to be kept, and a family that nobody has tried is right or refused, never wrong.
"""

import logging
import os
from collections.abc import Callable
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel, cache_utils
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from reckon.errors import ConfigError
from reckon.models.prefix.repeated import RepeatedPrefix
from reckon.models.prefix.shared import ATTENTION_NAME, PrefixStates, SharedPrefix, UnsharedAttention
from reckon.models.token_batch import TokenBatch

PROMPT_LENGTHS, GROUP, REPLY_LENGTH = (11, 7), 2, 5  # tokens, replies per prompt, tokens
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}  # mean relative difference of final hidden states
SWITCH = "RECKON_CUDA_GRAPHS"  # environment variable; 0: decoding on a GPU is not captured
KNOWN_LAYERS = {"full_attention", "sliding_attention"}
# Those of an earlier layer (Gemma 3n) have a class of their own from transformers 5.20 or so on.
EARLIER = tuple(getattr(cache_utils, name) for name in ("DummyLayer",) if hasattr(cache_utils, name))
KEYS_AND_VALUES: tuple[type, ...] = (DynamicLayer, DynamicSlidingWindowLayer, *EARLIER)

log = logging.getLogger(__name__)


class PromptStates(Protocol):
    """What is kept of B prompts for their replies."""

    @property
    def lengths(self) -> Tensor: ...  # [B]

    def reader(self, group_size: int, capacity: int | None = None) -> Any: ...

    def rows(self, chosen: Tensor) -> Self: ...


class Prefix(Protocol):
    """A way of reading prompts and the replies that follow them."""

    label: str

    def of(self, decoder: torch.nn.Module) -> "Prefix": ...

    def hidden(self, ids: Tensor) -> Tensor: ...

    def read_prompts(self, prompts: TokenBatch) -> tuple[Any, Tensor]: ...

    def read_replies(self, ids: Tensor, reader: Any) -> Tensor: ...


class Probe:
    """Two prompts of unequal length, two replies each, and their states read one prompt at a time."""

    def __init__(self, decoder: torch.nn.Module, vocabulary: int, device: torch.device, dtype: torch.dtype) -> None:
        tokens = torch.arange(sum(PROMPT_LENGTHS) + len(PROMPT_LENGTHS) * GROUP * REPLY_LENGTH)
        tokens = (2 + 37 * tokens) % vocabulary
        first, second, replies = tokens.split([*PROMPT_LENGTHS, len(tokens) - sum(PROMPT_LENGTHS)])
        self.tolerance = TOLERANCE[torch.float32 if dtype == torch.float32 else torch.bfloat16]
        self.prompts = TokenBatch.pad([first.tolist(), second.tolist()], int(first[0]), device)
        self.replies = replies.view(-1, REPLY_LENGTH).to(device)  # [N, T]
        self.outputs = []
        for row, length in enumerate(PROMPT_LENGTHS):
            own = self.replies[row * GROUP : (row + 1) * GROUP]
            sequences = torch.cat([self.prompts.ids[row, :length].expand(GROUP, -1), own], dim=1)
            self.outputs.append(decoder(input_ids=sequences, use_cache=True))
        self.expected = torch.cat(
            [output.last_hidden_state[:, -REPLY_LENGTH - 1 :] for output in self.outputs]
        )  # [N, 1 + T, D] from the prompt's last token on

    def difference(self, prefix: Prefix, read: tuple[Any, Tensor], *, generating: bool) -> float:
        """Mean over tokens of how far the states lie from the expected ones, relative to their size.

        `read` is what `prefix` has read of the prompts.
        """
        states, last = read
        reader = states.reader(GROUP, REPLY_LENGTH if generating else None)
        parts = self.replies.split(1 if generating else REPLY_LENGTH, dim=1)
        replies = [prefix.read_replies(part, reader) for part in parts]
        hidden = torch.cat([last.repeat_interleave(GROUP, 0)[:, None], *replies], dim=1).float()
        expected = self.expected.float()
        return float(((hidden - expected).norm(dim=-1) / expected.norm(dim=-1)).mean())


def choose_prefix(causal_lm: PreTrainedModel, decoder: torch.nn.Module, vocabulary: int) -> Prefix:
    """The way of reading that gives a model's own states; run without gradient and dropout.

    It leaves the model with the attention that goes with the way. A model that cannot share a prefix is told of in one
    line of the log.

    Raises:
        ConfigError: what follows a token changes the token's state, so the model cannot write replies.
    """
    own = causal_lm.config._attn_implementation
    own = "eager" if own == ATTENTION_NAME else own  # a model that came through here before
    causal_lm.set_attn_implementation(own)
    try:
        probe = Probe(decoder, vocabulary, causal_lm.device, causal_lm.dtype)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise _refused(causal_lm, f"cannot be run on tokens alone ({_line(error)})") from error
    if not bool(torch.isfinite(probe.expected).all()):
        raise _refused(causal_lm, "has hidden states that are not finite")
    causal_lm.set_attn_implementation(ATTENTION_NAME)
    shared = SharedPrefix(decoder, captures=causal_lm.device.type == "cuda" and os.environ.get(SWITCH) != "0")
    problem = _problem(lambda: _shares(causal_lm, shared, probe))
    if problem is not None and shared.captures:
        shared.captures = False
        problem = _problem(lambda: _shares(causal_lm, shared, probe))
    if problem is None:
        return shared
    causal_lm.set_attn_implementation(own)
    repeated = RepeatedPrefix(decoder)
    wrong = _problem(lambda: _agrees(repeated, probe, repeated.read_prompts(probe.prompts), generating=False))
    if wrong is not None:
        raise _refused(causal_lm, f"does not read from left to right ({wrong})")
    uncached = _problem(lambda: _agrees(repeated, probe, repeated.read_prompts(probe.prompts), generating=True))
    repeated.cached = uncached is None
    slow = "" if repeated.cached else f", and without a cache ({uncached})"
    log.warning(
        "%s (%s) cannot share a prompt among its replies: %s. Replies repeat it%s, which is right but slower.",
        causal_lm.name_or_path or "the backbone",
        causal_lm.config.model_type,
        problem,
        slow,
    )
    return repeated


def _shares(causal_lm: PreTrainedModel, shared: SharedPrefix, probe: Probe) -> None:
    """Raise UnsharedAttention where a shared prefix would be wrong, also beyond the lengths and sizes tried here."""
    config = causal_lm.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - KNOWN_LAYERS
    if kinds:
        raise UnsharedAttention(f"it has layers of {', '.join(sorted(kinds))}")
    cache = getattr(probe.outputs[0], "past_key_values", None)
    layers = cache.layers if isinstance(cache, DynamicCache) else []
    if not layers or any(type(layer) not in KEYS_AND_VALUES for layer in layers):
        raise UnsharedAttention("it keeps more than keys and values")
    read = shared.read_prompts(probe.prompts)
    _check_layers(read[0], layers, config)
    for generating in (False, True):
        _agrees(shared, probe, read, generating=generating)


def _check_layers(states: PrefixStates, layers: list[Any], config: Any) -> None:
    """Every layer must have come through our attention, with its window, which may be longer than what is tried."""
    kinds = getattr(config, "layer_types", None) or [None] * len(layers)
    for number, (layer, kind) in enumerate(zip(layers, kinds, strict=False)):
        if number not in states.keys:
            raise UnsharedAttention("its layers go around the registered attention")
        slides = isinstance(layer, DynamicSlidingWindowLayer) or kind == "sliding_attention"
        if states.windows[number] != (config.sliding_window if slides else None):
            raise UnsharedAttention(f"layer {number} does not name its window")


def _agrees(prefix: Prefix, probe: Probe, read: tuple[Any, Tensor], *, generating: bool) -> None:
    difference = probe.difference(prefix, read, generating=generating)
    if not difference <= probe.tolerance:  # NaN is a difference too
        raise UnsharedAttention(f"hidden states differ by {difference:.2g} of their size")


def _problem(check: Callable[[], None]) -> str | None:
    """What is wrong; whatever a family raises counts, but for memory."""
    try:
        check()
    except torch.OutOfMemoryError:
        raise
    except UnsharedAttention as error:
        return str(error)
    except Exception as error:
        return _line(error)
    return None


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"


def _refused(causal_lm: PreTrainedModel, rule: str) -> ConfigError:
    fix = "use a decoder that reads from left to right, such as a Qwen, Llama, Mistral or Gemma model (docs/models.md)"
    return ConfigError("backbone", causal_lm.name_or_path or causal_lm.config.model_type, rule, fix)
