"""Reading in which every reply repeats its prompt, with the model's own attention and its own cache.

Entry point: `RepeatedPrefix`, for families that cannot share a prefix: attention of their own, linear attention,
convolutions, state spaces. It costs G passes over a prompt where `SharedPrefix` costs one.

No token is ever read after padding: whole sequences are padded on the right, where nothing that counts looks, and
generation runs prompts of one length at a time. So it needs no mask and no positions, which families read differently,
and no padding enters a recurrent state.
"""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from reckon.models.token_batch import TokenBatch, gather_rows

CACHES = ("past_key_values", "cache_params", "state")  # what families call theirs


@dataclass
class RepeatedStates:
    """B prompts; each reply will read its own again."""

    prompts: TokenBatch

    @property
    def lengths(self) -> Tensor:
        return self.prompts.lengths  # [B]

    def reader(self, group_size: int, capacity: int | None = None) -> "RepeatPrefix":
        """What G replies per prompt read: whole replies, or with `capacity` tokens that are appended call by call."""
        return RepeatPrefix(self, group_size, capacity)

    def rows(self, chosen: Tensor) -> Self:
        """The prompts of some rows, in the order given."""
        return type(self)(self.prompts.part(chosen))


class RepeatPrefix:
    """N = B * G replies that grow after their prompts; rows i*G .. (i+1)*G - 1 follow prompt i."""

    def __init__(self, states: RepeatedStates, group_size: int, capacity: int | None = None) -> None:
        self.states, self.group_size, self.capacity = states, group_size, capacity
        self.lengths = states.lengths.repeat_interleave(group_size)  # [N]
        self.written = states.prompts.ids.new_empty((len(self.lengths), 0))  # [N, t] reply tokens of earlier calls
        self.caches: dict[int, tuple[str, Any]] = {}  # prompt length -> name and value of the family's cache

    def prompts(self) -> Tensor:
        """[N, P] each reply's prompt, padded on the right."""
        return self.states.prompts.ids.repeat_interleave(self.group_size, 0)


class RepeatedPrefix:
    """Reading with nothing of ours inside the model."""

    label = "repeated prompts"

    def __init__(self, decoder: nn.Module, *, cached: bool = True) -> None:
        """`cached` generates with the family's own cache; without, every token reads its whole sequence again."""
        self._decoder, self.cached = decoder, cached

    def of(self, decoder: nn.Module) -> "RepeatedPrefix":
        """The same way of reading for a copy of the model."""
        return RepeatedPrefix(decoder, cached=self.cached)

    def hidden(self, ids: Tensor) -> Tensor:
        """Final hidden states of sequences that are padded on the right: [n, L] to [n, L, D]."""
        return self._decoder(input_ids=ids, use_cache=False).last_hidden_state

    def read_prompts(self, prompts: TokenBatch) -> tuple[RepeatedStates, Tensor]:
        """The prompts, and the final hidden state of each one's last token [B, D]."""
        return RepeatedStates(prompts), gather_rows(self.hidden(prompts.ids), prompts.lengths - 1)

    def read_replies(self, ids: Tensor, reader: RepeatPrefix) -> Tensor:
        """Final hidden states of reply tokens [N, T] that follow what `reader` has seen: [N, T, D]."""
        if reader.capacity is None:
            return self._whole(ids, reader)
        if self.cached:
            return self._appended(ids, reader)
        reader.written = torch.cat([reader.written, ids], dim=1)
        return self._whole(reader.written, reader)[:, -ids.shape[1] :]

    def _whole(self, replies: Tensor, reader: RepeatPrefix) -> Tensor:
        """Prompt and reply in one sequence, then the padding: the states of the reply [N, T, D]."""
        prompts, tokens = reader.prompts(), replies.shape[1]
        places = reader.lengths[:, None] + torch.arange(tokens, device=replies.device)  # [N, T]
        sequences = torch.cat([prompts, prompts[:, :1].expand(-1, tokens)], dim=1).scatter(1, places, replies)
        hidden = self.hidden(sequences)
        return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[2]))

    def _appended(self, ids: Tensor, reader: RepeatPrefix) -> Tensor:
        """One call of generation: prompts of one length at a time, each such part with a cache of its own."""
        parts, order = [], []
        for length in reader.lengths.unique().tolist():
            rows = (reader.lengths == length).nonzero()[:, 0]
            if length in reader.caches:
                name, cache = reader.caches[length]
                output = self._decoder(input_ids=ids[rows], use_cache=True, **{name: cache})
            else:
                sequences = torch.cat([reader.prompts()[rows, :length], ids[rows]], dim=1)
                output = self._decoder(input_ids=sequences, use_cache=True)
            reader.caches[length] = cache_of(output)
            parts.append(output.last_hidden_state[:, -ids.shape[1] :])
            order.append(rows)
        return torch.cat(parts)[torch.cat(order).argsort()]


def cache_of(output: Any) -> tuple[str, Any]:
    """Name and value of the cache that a decoder hands back. Raises LookupError where it has none."""
    for name in CACHES:
        if getattr(output, name, None) is not None:
            return name, getattr(output, name)
    raise LookupError("the decoder hands back no cache")
