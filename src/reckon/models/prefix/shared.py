"""Attention in which a group of replies reads the keys and values of one shared prompt.

Entry point: `SharedPrefix`, one of a backbone's two ways of reading (`choose.py` chooses). `RecordPrefix` runs the
prompts once, `ReadPrefix` lets G replies per prompt read them, in training (whole replies, gradients flow through the
shared keys) and in generation (one token at a time, with a cache for the replies' own keys). The attention is
registered with transformers as `reckon`; it knows grouped heads, sliding windows and soft caps. A family whose layers
ask for more, keep other state or go around the registered function is not read in this way.

Prompts and replies are padded on the right. Causality alone then hides the padding inside a prompt, and positions
are plain counts; only a reply's view of its prompt needs a mask.
"""

from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as apply_dropout
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from reckon.models.prefix.captured_step import CapturedStep
from reckon.models.token_batch import TokenBatch, counted_positions, gather_rows

ATTENTION_NAME = "reckon"
POSITIONS = {
    "position_ids",
    "cache_position",
    "position_embeddings",
}  # options that a layer has used up before it attends


class UnsharedAttention(Exception):
    """A layer asks for attention that replies cannot share."""


@dataclass
class PrefixStates:
    """Keys and values of B prompts, one pair per layer."""

    lengths: Tensor  # [B] prompt tokens
    static: bool = False  # whether replies grow in buffers of fixed size
    keys: dict[int, Tensor] = field(default_factory=dict)  # layer -> [B, Hkv, P, d]
    values: dict[int, Tensor] = field(default_factory=dict)
    windows: dict[int, int | None] = field(default_factory=dict)  # layer -> tokens it looks back, itself included

    def reader(self, group_size: int, capacity: int | None = None) -> "ReadPrefix":
        """What G replies per prompt read: whole replies, or with `capacity` tokens that are appended call by call."""
        if capacity is not None and self.static:
            return StaticReadPrefix(self, group_size, capacity)
        return ReadPrefix(self, group_size, capacity)

    def rows(self, chosen: Tensor) -> Self:
        """The states of some prompts, in the order given."""
        if len(chosen) == len(self.lengths) and bool((chosen.diff() > 0).all()):
            return self
        keys = {layer: key[chosen] for layer, key in self.keys.items()}
        values = {layer: value[chosen] for layer, value in self.values.items()}
        return type(self)(self.lengths[chosen], self.static, keys, values, self.windows)


class RecordPrefix:
    """Attention of the prompts themselves: causal, and the keys and values are kept."""

    def __init__(self, states: PrefixStates) -> None:
        self.states = states

    def attend(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        layer = cast(int, module.layer_idx)
        # Gradient checkpointing runs a layer twice; the first run's tensors carry the graph.
        if layer not in self.states.keys:
            # Contiguous, or every product with them would copy them again: once per token in generation.
            self.states.keys[layer], self.states.values[layer] = key.contiguous(), value.contiguous()
            self.states.windows[layer] = options.get("sliding_window")
        return causal_attention(module, query, key, value, mask, **options)


class ReadPrefix:
    """Attention of N = B * G replies: each reads its prompt's recorded keys, then its own.

    Rows i*G .. (i+1)*G - 1 read prompt i. Without `capacity` a call holds whole replies (training); with it the
    replies' own keys are cached and each call appends to them (generation).
    """

    sees_empty = False
    """Whether the own keys of a call include places that hold no token yet."""

    def __init__(self, states: PrefixStates, group_size: int, capacity: int | None = None) -> None:
        self.states, self.group_size, self.capacity = states, group_size, capacity
        self.filled: int | Tensor = 0  # reply tokens already in the cache
        self._own: dict[int, tuple[Tensor, Tensor]] = {}
        self._masks: dict[int | None, tuple[Tensor | None, Tensor | None]] = {}
        self._padded: bool | None = None  # whether a prompt is padded; known from the first pass on

    def begin(self, tokens: int) -> Tensor:
        """Begin a call: [N, T] positions of its reply tokens, which count on from the prompt."""
        if self.capacity is not None:  # in training a checkpointed layer runs again and must see the same masks
            self._masks.clear()
        lengths = self.states.lengths.repeat_interleave(self.group_size)[:, None]
        return lengths + self.filled + torch.arange(tokens, device=lengths.device)

    def advance(self, tokens: int) -> None:
        """The call that just ended added this many tokens to every reply's cache."""
        if self.capacity is not None:  # in training a checkpointed layer runs again and must see the same positions
            self.filled += tokens

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        *,
        scaling: float,
        dropout: float = 0.0,
        sliding_window: int | None = None,
        softcap: float | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        unknown = sorted(name for name, value in others.items() if torch.is_tensor(value) and name not in POSITIONS)
        if unknown:
            raise UnsharedAttention(f"its attention takes {', '.join(unknown)}")
        layer = cast(int, module.layer_idx)
        prefix_key, prefix_value = self.states.keys[layer], self.states.values[layer]
        B, kv_heads, P, d = prefix_key.shape
        N, heads, T = query.shape[:3]
        G, R = self.group_size, heads // kv_heads
        # Queries of one group and one key head side by side: [B, Hkv, G, R * T, d].
        grouped = query.reshape(B, G, kv_heads, R * T, d).transpose(1, 2).reshape(B, kv_heads, G * R * T, d) * scaling
        own_key, own_value = (side.view(B, G, kv_heads, T, -1).transpose(1, 2) for side in (key, value))
        own_key, own_value = self._with_cache(layer, own_key, own_value)  # [B, Hkv, G, S, d], [.., e]
        to_prefix = (grouped @ prefix_key.transpose(-1, -2)).view(B, kv_heads, G, R, T, P)
        to_own = (grouped.view(B, kv_heads, G, R * T, d) @ own_key.transpose(-1, -2)).view(B, kv_heads, G, R, T, -1)
        if softcap is not None:
            to_prefix, to_own = (torch.tanh(part / softcap) * softcap for part in (to_prefix, to_own))
        prefix_mask, own_mask = self._additive_masks(T, own_key.shape[-2], P, sliding_window, query)
        to_prefix = to_prefix if prefix_mask is None else to_prefix + prefix_mask
        to_own = to_own if own_mask is None else to_own + own_mask
        weights = torch.cat([to_prefix, to_own], dim=-1).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
        weights = apply_dropout(weights, dropout, training=module.training)
        on_prefix, on_own = weights.view(B, kv_heads, G, R * T, -1).split([P, own_key.shape[-2]], dim=-1)
        from_prefix = on_prefix.reshape(B, kv_heads, G * R * T, P) @ prefix_value
        output = from_prefix.view(B, kv_heads, G, R * T, -1) + on_own @ own_value
        return output.view(B, kv_heads, G, R, T, -1).permute(0, 2, 4, 1, 3, 5).reshape(N, T, heads, -1), None

    def _with_cache(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The replies' own keys and values so far, with those of this call; [B, Hkv, G, S, d] each."""
        if self.capacity is None:
            return key, value
        keys, values = self._buffers(layer, key, value)
        end = self.filled + key.shape[3]
        keys[..., self.filled : end, :], values[..., self.filled : end, :] = key, value
        return keys[..., :end, :], values[..., :end, :]

    def _buffers(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Room for `capacity` tokens of this layer, in the order that the products read: no copy at every token."""
        if layer not in self._own:
            shape = (*key.shape[:3], self.capacity)
            self._own[layer] = (key.new_zeros(*shape, key.shape[4]), value.new_zeros(*shape, value.shape[4]))
        return self._own[layer]

    def _additive_masks(
        self, T: int, S: int, P: int, window: int | None, like: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """[B, 1, 1, 1, T, P] and [1, 1, 1, 1, T, S]: 0 where a reply token may look, the lowest number elsewhere.

        None where it may look everywhere, so that prompts of one length and single tokens cost no mask.
        """
        if self._padded is None:
            self._padded = bool((self.states.lengths < P).any())  # a part of a larger batch may be so in every row
        if window not in self._masks:
            device, lengths = like.device, self.states.lengths[:, None, None]
            own_position = self.filled + torch.arange(T, device=device)[None, :, None]  # [1, T, 1] within the reply
            prefix_position = torch.arange(P, device=device)[None, None]
            own_key = torch.arange(S, device=device)[None, None]
            sees_prefix = (prefix_position < lengths).expand(-1, T, -1)  # [B, T, P]
            sees_own = own_key <= own_position  # [1, T, S]
            if window is not None:
                sees_prefix = sees_prefix & (lengths + own_position - prefix_position < window)
                sees_own = sees_own & (own_position - own_key < window)
            self._masks[window] = (
                additive(sees_prefix, like.dtype) if self._padded or window is not None else None,
                additive(sees_own, like.dtype) if T > 1 or window is not None or self.sees_empty else None,
            )
        return self._masks[window]


class StaticReadPrefix(ReadPrefix):
    """Generation in which a decoding step does the same work in the same places for every token.

    All `capacity` places are read; a mask hides those that are still empty, and the count of tokens is a tensor. So a
    step can be captured once and replayed (`reckon.models.prefix.captured_step`).
    """

    sees_empty = True

    def __init__(self, states: PrefixStates, group_size: int, capacity: int) -> None:
        super().__init__(states, group_size, capacity)
        self.filled: Tensor = torch.zeros(1, dtype=torch.long, device=states.lengths.device)
        self.captured = CapturedStep()

    def advance(self, tokens: int) -> None:
        self.filled += tokens  # in place: a captured step counts on

    def _with_cache(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self._buffers(layer, key, value)
        places = self.filled + torch.arange(key.shape[3], device=key.device)
        return keys.index_copy_(3, places, key), values.index_copy_(3, places, value)


def additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Where a token may look [b, T, K] to what is added to its scores [b, 1, 1, 1, T, K]."""
    zeros = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return zeros.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None, None, None]


def causal_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Plain causal attention; torch's fused kernel unless the model caps its scores (Gemma 2)."""
    if options.get("softcap") is None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    length = query.shape[2]
    allowed = torch.ones(length, length, dtype=torch.bool, device=query.device).tril() if mask is None else mask
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = query @ key.transpose(-1, -2) * options["scaling"]
    scores = torch.tanh(scores / options["softcap"]) * options["softcap"]
    weights = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(dim=-1, dtype=torch.float32)
    weights = apply_dropout(weights.to(query.dtype), options.get("dropout", 0.0), training=module.training)
    return (weights @ value).transpose(1, 2), None


def reckon_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    prefix: RecordPrefix | ReadPrefix | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention function transformers calls in every layer; `prefix` says which role this pass has."""
    attend = causal_attention if prefix is None else prefix.attend
    return attend(module, query, key, value, attention_mask, **options)


class SharedPrefix:
    """Reading in which a group of replies shares one pass over its prompt."""

    label = "shared prefix"

    def __init__(self, decoder: nn.Module, *, captures: bool = False) -> None:
        """`captures` keeps replies in buffers of fixed size while they grow; on a CUDA device their decoding step is
        then captured and replayed."""
        self._decoder, self.captures = decoder, captures

    def of(self, decoder: nn.Module) -> "SharedPrefix":
        """The same way of reading for a copy of the model."""
        return SharedPrefix(decoder, captures=self.captures)

    def hidden(self, ids: Tensor) -> Tensor:
        """Final hidden states of sequences that are padded on the right: [n, L] to [n, L, D]."""
        return self._decode(ids, counted_positions(ids), None)

    def read_prompts(self, prompts: TokenBatch) -> tuple[PrefixStates, Tensor]:
        """Run each prompt once: its keys and values, and the final hidden state of its last token [B, D]."""
        states = PrefixStates(prompts.lengths, self.captures)
        hidden = self._decode(prompts.ids, counted_positions(prompts.ids), RecordPrefix(states))
        return states, gather_rows(hidden, prompts.lengths - 1)

    def read_replies(self, ids: Tensor, reader: ReadPrefix) -> Tensor:
        """Final hidden states of reply tokens [N, T] that follow what `reader` has seen: [N, T, D]."""

        def read(ids: Tensor) -> Tensor:
            hidden = self._decode(ids, reader.begin(ids.shape[1]), reader)
            reader.advance(ids.shape[1])
            return hidden

        if not isinstance(reader, StaticReadPrefix):
            return read(ids)
        hidden = reader.captured(read, ids)
        self.captures = self.captures and not reader.captured.failed  # this model is not tried again
        return hidden

    def _decode(self, ids: Tensor, positions: Tensor, prefix: RecordPrefix | ReadPrefix | None) -> Tensor:
        extra: dict[str, Any] = {} if prefix is None else {"prefix": prefix}
        if isinstance(prefix, ReadPrefix):
            # It masks by itself. transformers would build a mask for every token, unless one of four axes is given.
            extra["attention_mask"] = ids.new_ones((1, 1, 1, 1), dtype=torch.bool)
        return self._decoder(input_ids=ids, position_ids=positions, use_cache=False, **extra).last_hidden_state


AttentionInterface.register(ATTENTION_NAME, reckon_attention)
AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)
