"""The base class of generative baselines: beam search over the token sequences of the catalog's items.

Entry point: `BeamBaseline`, the base of TIGER and D3. A subclass gives the token sequence of each item (`trie`) and the
next-token logits after a history (`reader`). A target outside the beam is a miss, rank I + 1. A request for more items
than the beam is wide widens the beam to that number.

Source: Rajput et al. 2023 (arXiv 2305.05065) section 3.2; Bao et al. 2024 (arXiv 2406.14900) section 2.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reckon.baselines.baseline import Baseline
from reckon.baselines.generative.token_trie import NextLogits, Prior, TokenTrie, beam_search
from reckon.data import Catalog, Examples
from reckon.data.examples import IntArray
from reckon.models.recommender import RankedExamples, Recommendation

LOGITS_AT_ONCE = 1 << 24  # 64 MiB of float32
USERS_AT_ONCE = 64


class BeamBaseline(Baseline):
    """A baseline whose config has `beam`, the number of partial items that a search keeps."""

    def __init__(self, catalog: Catalog, config: Any, exclude_seen: bool, trie: TokenTrie, vocabulary: int) -> None:
        """`vocabulary` is the number of logits per step; it limits the users in one search."""
        super().__init__(catalog, config, exclude_seen)
        self.trie, self.vocabulary = trie, vocabulary

    @abstractmethod
    def reader(self, histories: Sequence[IntArray]) -> NextLogits:
        """Next-token logits of the model after these histories."""

    def prior(self, histories: Sequence[IntArray]) -> Prior | None:
        """A prior over items that is mixed into every branching; None unless overridden."""
        return None

    def scores(self, histories: Sequence[IntArray]) -> Tensor:
        """Log-probability of every item [n, I], from a search as wide as the catalog."""
        result = torch.full((len(histories), len(self.catalog)), -torch.inf)
        for rows, found in self._searches(histories, None, len(self.catalog)):
            for row, (items, values) in zip(range(rows.start, rows.stop), found, strict=True):
                result[row, items] = values
        return result

    def listed(self, histories: Sequence[IntArray], k: int, exclude_seen: bool) -> list[Recommendation]:
        answers = []
        width = max(k, self.config.beam)
        for _, found in self._searches(histories, histories if exclude_seen else None, width):
            for items, values in found:
                kept = items[:k].tolist()
                answers.append(Recommendation(kept, [self.catalog.ids[item] for item in kept], values[:k].tolist()))
        return answers

    def ranks(
        self, examples: Examples, k: int = 20, *, on_batch: Callable[[int], None] | None = None
    ) -> RankedExamples:
        """As `Baseline.ranks`; a target outside the beam has rank I + 1."""
        result, k = RankedExamples.empty(len(examples), k), min(k, len(self.catalog))
        histories = [examples.history(row) for row in range(len(examples))]
        seen = [examples.seen(row) for row in range(len(examples))] if self.exclude_seen else None
        for rows, found in self._searches(histories, seen, max(k, self.config.beam)):
            for row, (items, values) in zip(range(rows.start, rows.stop), found, strict=True):
                own = values[items == int(examples.targets[row])]
                result.ranks[row] = int((values >= own).sum()) if len(own) else len(self.catalog) + 1
                result.items[row, : min(k, len(items))] = items[:k].numpy()
            if on_batch is not None:
                on_batch(rows.stop - rows.start)
        return result

    def _searches(
        self, histories: Sequence[IntArray], exclude: Sequence[IntArray] | None, width: int
    ) -> Iterator[tuple[slice, list[tuple[Tensor, Tensor]]]]:
        """Blocks of rows, and for each row its items with their scores, best first; equal scores by item index."""
        size = max(1, min(USERS_AT_ONCE, LOGITS_AT_ONCE // (width * self.vocabulary)))
        for start in range(0, len(histories), size):
            rows = slice(start, min(start + size, len(histories)))
            block = histories[rows]
            allowed = torch.ones(len(block), len(self.catalog), dtype=torch.bool)
            for row, hidden in enumerate(exclude[rows] if exclude is not None else ()):
                allowed[row, torch.from_numpy(np.asarray(hidden, dtype=np.int64))] = False
            nodes, scores = beam_search(
                self.trie, self.reader(block), len(block), width, allowed=allowed, prior=self.prior(block)
            )
            yield rows, [self._items(nodes[row], scores[row], allowed[row]) for row in range(len(block))]

    def _items(self, nodes: Tensor, scores: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """The allowed items of leaves [B] and their scores, best first."""
        nodes, scores = nodes[nodes >= 0], scores[nodes >= 0]
        first, counts = self.trie.first[nodes], self.trie.last[nodes] - self.trie.first[nodes]
        leaf = torch.arange(len(nodes)).repeat_interleave(counts)
        place = first[leaf] + torch.arange(len(leaf)) - (counts.cumsum(0) - counts)[leaf]
        items = self.trie.order[place]
        items, values = items[allowed[items]], scores[leaf][allowed[items]]
        by_item = items.argsort()
        falling = values[by_item].argsort(descending=True, stable=True)
        return items[by_item][falling], values[by_item][falling]
