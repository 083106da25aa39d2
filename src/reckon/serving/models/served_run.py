"""One finished run behind the service: its prompts, its replies, its catalog.

Entry point: `ServedRun.load`. Whatever computes with the language model is called by one thread at a time
(`reckon.serving.models.worker`); `snapshot` may be read by any.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from reckon.data import Event, Example
from reckon.methods.ranking_model import RankingModel
from reckon.methods.registry import load_ranking_model
from reckon.progress import quiet_transformers
from reckon.rollout.decoding import Decoding
from reckon.runs.read import manifest_of
from reckon.serving.models.catalogs import changed_items, rows_of
from reckon.serving.models.snapshot import CatalogSnapshot, Past
from reckon.serving.store.records import Item


@dataclass(frozen=True, slots=True)
class Written:
    """A reply that has ended."""

    vector: Tensor  # [D] user vector, float32
    reasoning: str
    truncated: bool
    tokens: int
    """Sampled reply tokens."""


class ServedRun:
    """A run by its name in answers, with a catalog that changes."""

    def __init__(self, name: str, version: str, model: RankingModel) -> None:
        self.name, self.version, self.model = name, version, model
        model.backbone.model.eval()
        self.hidden: frozenset[str] = frozenset()
        self._plain = model.without_reasoning() or model
        self.snapshot = self._snapshot()

    @classmethod
    def load(cls, run: Path, name: str) -> "ServedRun":
        """Load a finished run that ranks.

        Raises:
            CheckpointError: it is not finished, damaged, or predicts ratings.
        """
        with quiet_transformers():
            model = load_ranking_model(run)
        return cls(name, version_of(run), model)

    @property
    def reasons(self) -> bool:
        return self.model.reasons

    # -- histories ----------------------------------------------------------------------------------------------

    def example(self, history: Sequence[Past], now: int | None = None) -> Example:
        """A history for the model, oldest first; items that it does not know are left out."""
        rows = self.snapshot.rows
        events = [
            Event(rows[past.item_id], None if past.time is None else int(past.time.timestamp()), past.rating)
            for past in history
            if past.item_id in rows
        ]
        return self.model.example_of(events, now)

    def direct(self, examples: Sequence[Example]) -> Tensor:
        """User vectors [n, D] without reasoning: the prompt, the marker, and no reply."""
        return self._plain.reading(examples).queries

    def begin(self, examples: Sequence[Example]) -> Decoding:
        """Begin a reply to each history; without gradients."""
        return self.model.engine.begin([self.model.prompt_ids(example) for example in examples], self.model.greedy)

    def shown(self, written: list[int], ended: bool) -> str:
        """The part of a partial reply to display; see `RankingModel.shown`."""
        return self.model.shown(written, ended)

    def written(self, example: Example, decoding: Decoding, row: int) -> Written:
        """The reply of one row that has ended, read."""
        read = self.model.reading_sampled([example], decoding.rollouts([row]))
        return Written(read.queries[0].float().cpu(), read.reasonings[0] or "", read.truncated[0], read.lengths[0])

    # -- the catalog --------------------------------------------------------------------------------------------

    def put_items(self, items: Sequence[Item]) -> None:
        """Encode new and changed items; they can be recommended from then on.

        Raises:
            DataError: a value does not fit its column.
        """
        if not items:
            return
        self.model.put_items(rows_of(items, self.model.catalog))
        self.hidden -= {item.id for item in items}
        self._changed()

    def hide_items(self, item_ids: Sequence[str]) -> None:
        """Items that are not recommended any more; histories may still hold them."""
        self.hidden |= set(item_ids)
        self._changed()

    def follow(self, items: Sequence[Item]) -> int:
        """Make the catalog that of the store: encodes what is new or differs, hides what is gone; how many were
        encoded."""
        fresh = changed_items(items, self.model.catalog, self.snapshot.rows)
        self.hidden = frozenset(set(self.snapshot.rows) - {item.id for item in items})
        if fresh:
            self.model.put_items(rows_of(fresh, self.model.catalog))
        self._changed()
        return len(fresh)

    def check(self, items: Sequence[Item]) -> None:
        """Raises DataError where a value does not fit its column."""
        rows_of(items, self.model.catalog)

    def _changed(self) -> None:
        self._plain = self.model.without_reasoning() or self.model
        self.snapshot = self._snapshot()

    def _snapshot(self) -> CatalogSnapshot:
        model = self.model
        with torch.no_grad():
            bias = None if model.bias is None else model.bias.float().cpu()
            return CatalogSnapshot(model.catalog, model.table.vectors.float().cpu().clone(), bias, self.hidden)


def version_of(run: Path) -> str:
    """What tells the weights of a run from those of another under the same name."""
    return hashlib.sha256(json.dumps(manifest_of(run), sort_keys=True).encode()).hexdigest()[:12]
