"""A trie of the items' token sequences, and beam search within it.

Entry points: `TokenTrie.of`, `beam_search`. An item is a token sequence: a semantic id, or a title with its end token.
At each branching the model's distribution is renormalised over the tokens that continue to an item. A token without
alternatives has probability 1 and needs no model call, so the trie holds only branchings, and a sequence ends where it
is unique. The probabilities of all leaves sum to one.

Knows neither the meaning of the tokens nor the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reckon.errors import DataError

NextLogits = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function of (users [m], prefixes [m, B, T], lengths [m, B]) that returns next-token logits [m, B, V]. `users` are
row numbers of the search in ascending order; prefixes are padded on the right; T is 0 at the first call unless all
sequences share a beginning."""
SMALLEST = 1e-30  # lower bound of a probability before its logarithm


@dataclass(frozen=True, slots=True)
class TokenTrie:
    """A trie of N nodes over I items; node 0 is the root, and a node without children is a leaf."""

    order: Tensor  # [I] item indices, ordered so that the items under a node are contiguous
    first: Tensor  # [N] first position of a node's items in `order`
    last: Tensor  # [N] end of a node's items in `order`, exclusive
    prefixes: Tensor  # [N, L] tokens up to the node's branching, padded with 0; a leaf has the tokens of its parent
    lengths: Tensor  # [N]
    offsets: Tensor  # [N + 1] first position of a node's children in `tokens` and `children`
    tokens: Tensor  # [E] token that leads to each child
    children: Tensor  # [E] node of each child

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "TokenTrie":
        """Build a trie of one sequence per item; items with the same sequence share a leaf.

        Raises:
            DataError: there is no item, or one sequence is a prefix of another (end tokens prevent that).
        """
        if not sequences:
            raise DataError("sequences", "there are none", "give the tokens of at least one item")
        order = sorted(range(len(sequences)), key=lambda item: (tuple(sequences[item]), item))
        ranges, depths, edges = [(0, len(order))], [0], list[list[tuple[int, int]]]()
        node = 0
        while node < len(ranges):
            first, last = ranges[node]
            low, high = sequences[order[first]], sequences[order[last - 1]]
            edges.append([])
            if tuple(low) == tuple(high):  # sorted, so all sequences in between are equal, too
                node += 1
                continue
            depth = depths[node] = _common(low, high)
            if depth == len(low):
                raise DataError(f"sequence of item {order[first]}", "is a prefix of another", "end both with a token")
            for begin, end in _runs([sequences[order[place]][depth] for place in range(first, last)]):
                edges[node].append((sequences[order[first + begin]][depth], len(ranges)))
                ranges.append((first + begin, first + end))
                depths.append(depth)
            node += 1
        starts = [sequences[order[first]][:depth] for (first, _), depth in zip(ranges, depths, strict=True)]
        prefixes = torch.zeros(len(ranges), max(depths), dtype=torch.long)
        for row, start in enumerate(starts):
            prefixes[row, : len(start)] = torch.tensor(start, dtype=torch.long)
        flat = [edge for outgoing in edges for edge in outgoing]
        return cls(
            order=torch.tensor(order),
            first=torch.tensor([first for first, _ in ranges]),
            last=torch.tensor([last for _, last in ranges]),
            prefixes=prefixes,
            lengths=torch.tensor(depths),
            offsets=torch.from_numpy(np.cumsum([0, *map(len, edges)])),
            tokens=torch.tensor([token for token, _ in flat], dtype=torch.long),
            children=torch.tensor([child for _, child in flat], dtype=torch.long),
        )

    def fan_out(self, nodes: Tensor) -> Tensor:
        """Children of each node, 0 for a leaf: nodes of any shape to counts of that shape."""
        return self.offsets[nodes + 1] - self.offsets[nodes]

    def sums(self, values: Tensor) -> Tensor:
        """Cumulative sums [n, I + 1] of item values [n, I] in the trie's order; `under` reads them."""
        running = values[:, self.order].cumsum(dim=1)
        return torch.cat([running.new_zeros(len(values), 1), running], dim=1)

    def under(self, sums: Tensor, rows: Tensor, nodes: Tensor) -> Tensor:
        """Sum of the item values under each node: [E], for nodes [E] and rows [E] of the cumulative sums."""
        return sums[rows, self.last[nodes]] - sums[rows, self.first[nodes]]


@dataclass(frozen=True, slots=True)
class Prior:
    """A distribution over items that is mixed into every branching."""

    probabilities: Tensor  # [n, I] float64, rows sum to one
    weight: float
    """Weight of the prior, in [0, 1]: a branching adds (1 - weight) log p + weight log q, where q is the prior's
    probability of the items below the child among the items below the node."""


def beam_search(
    trie: TokenTrie,
    next_logits: NextLogits,
    rows: int,
    width: int,
    *,
    allowed: Tensor | None = None,
    prior: Prior | None = None,
) -> tuple[Tensor, Tensor]:
    """The best leaves for each of n = `rows` users.

    A user gets `width` leaves, or all leaves if there are fewer. Branches without an allowed item are not followed and
    take no place in the beam. Their probability is not redistributed, so scores do not depend on `allowed`.

    Args:
        trie: the items.
        next_logits: the model; all tensors are on the CPU.
        rows: number of users in this search.
        width: partial sequences kept per user.
        allowed: [n, I] True where an item may be recommended.
        prior: mixed into every branching; None: the model alone.

    Returns:
        Nodes [n, width], -1 where there are fewer, and their scores [n, width] in descending order, -inf at -1.
    """
    nodes = torch.zeros(rows, 1, dtype=torch.long)
    scores = torch.zeros(rows, 1)
    live = None if allowed is None else trie.sums(allowed.int())
    mass = None if prior is None else trie.sums(prior.probabilities)
    while True:
        open_beams = (trie.fan_out(nodes.clamp_min(0)) > 0) & (nodes >= 0)  # [n, B]
        if not bool(open_beams.any()):
            break
        done = ((nodes >= 0) & ~open_beams).nonzero()  # leaves stay in the beam
        user, beam = open_beams.nonzero(as_tuple=True)  # [A] the beams that branch
        logits = _open_logits(trie, next_logits, nodes, open_beams)  # [A, V]
        parent, edge = _expand(trie, nodes[user, beam])  # [E]
        child, of_user = trie.children[edge], user[parent]
        gained = _log_share(logits[parent, trie.tokens[edge]], parent, len(logits))  # [E]
        if prior is not None and mass is not None:
            below = trie.under(mass, of_user, child).clamp_min(SMALLEST)
            above = trie.under(mass, of_user, nodes[user, beam][parent]).clamp_min(SMALLEST)
            gained = (1 - prior.weight) * gained + prior.weight * (below / above).log().float()
        value = scores[user, beam][parent] + gained
        if live is not None:
            value = value.masked_fill(trie.under(live, of_user, child) == 0, -torch.inf)
        nodes, scores = _best(
            torch.cat([done[:, 0], of_user]),
            torch.cat([nodes[done[:, 0], done[:, 1]], child]),
            torch.cat([scores[done[:, 0], done[:, 1]], value]),
            (rows, width),
        )
    if nodes.shape[1] < width:  # a trie of one leaf has no branching
        missing = (rows, width - nodes.shape[1])
        nodes = torch.cat([nodes, torch.full(missing, -1)], dim=1)
        scores = torch.cat([scores, torch.full(missing, -torch.inf)], dim=1)
    return nodes, scores


def _open_logits(trie: TokenTrie, next_logits: NextLogits, nodes: Tensor, open_beams: Tensor) -> Tensor:
    """Logits [A, V] of the beams that branch, in the order of `open_beams.nonzero()`; finished users are skipped."""
    users = open_beams.any(dim=1).nonzero()[:, 0]  # [m]
    chosen = open_beams[users].int().argsort(dim=1, descending=True, stable=True)  # open beams first, in their order
    counts = open_beams[users].sum(dim=1)
    chosen = chosen[:, : int(counts.max())]  # [m, B']
    asked = nodes[users].gather(1, chosen).clamp_min(0)
    lengths = trie.lengths[asked]
    real = torch.arange(chosen.shape[1]) < counts[:, None]  # [m, B']
    lengths = torch.where(real, lengths, lengths[:, :1])  # padding repeats the first beam and is dropped below
    asked = torch.where(real, asked, asked[:, :1])
    return next_logits(users, trie.prefixes[asked][..., : int(lengths.max())], lengths)[real]


def _expand(trie: TokenTrie, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """All edges below nodes [A]: position of each edge's node [E], and its position among the trie's edges [E]."""
    counts = trie.fan_out(nodes)
    parent = torch.arange(len(nodes)).repeat_interleave(counts)
    within = torch.arange(len(parent)) - (counts.cumsum(0) - counts)[parent]
    return parent, trie.offsets[nodes][parent] + within


def _log_share(logits: Tensor, group: Tensor, groups: int) -> Tensor:
    """Log-softmax of logits [E] within each group [E]."""
    top = torch.full((groups,), -torch.inf).scatter_reduce(0, group, logits, "amax")
    shifted = logits - top[group]
    total = torch.zeros(groups).index_add(0, group, shifted.exp())
    return shifted - total.log()[group]


def _best(user: Tensor, nodes: Tensor, scores: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The best candidates of each user, best first, as a table of the given shape, from flat lists [C]."""
    keep = scores > -torch.inf
    user, nodes, scores = user[keep], nodes[keep], scores[keep]
    falling = scores.argsort(descending=True, stable=True)
    falling = falling[user[falling].argsort(stable=True)]  # by user, then by score
    user = user[falling]
    place = torch.arange(len(user)) - torch.searchsorted(user, user)
    kept = place < shape[1]
    best_nodes, best_scores = torch.full(shape, -1), torch.full(shape, -torch.inf)
    best_nodes[user[kept], place[kept]] = nodes[falling][kept]
    best_scores[user[kept], place[kept]] = scores[falling][kept]
    return best_nodes, best_scores


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix of two sequences."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _runs(tokens: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each run of equal tokens."""
    cuts = [place for place in range(1, len(tokens)) if tokens[place] != tokens[place - 1]]
    return list(zip([0, *cuts], [*cuts, len(tokens)], strict=True))
