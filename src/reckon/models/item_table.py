"""The item table: one L2-normalised vector per item, keyed by item id.

Entry points: `ItemTable.put`, `remove`, `save`, `load`. A new item is one `put`: recommendable without retraining.
Saved as safetensors: `vectors`, the item ids as UTF-8 bytes (`ids`) with the end of each (`id_ends`), and a catalog
hash in the metadata; earlier files, with the ids in the metadata, are read too. Loading against another catalog is an
error, because rows found by position would silently recommend the wrong items.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from reckon.errors import CheckpointError, DataError, ReckonError, ShapeError
from reckon.files import whole_file


class ItemTable:
    """I vectors of size D; row i belongs to `item_ids[i]`."""

    def __init__(self, item_ids: Sequence[str], vectors: Tensor) -> None:
        if vectors.ndim != 2 or len(vectors) != len(item_ids):
            raise ShapeError("vectors", tuple(vectors.shape), f"[{len(item_ids)}, D], one row per item id")
        self.item_ids = list(item_ids)
        self.vectors = vectors  # [I, D]
        self._row = {item_id: row for row, item_id in enumerate(self.item_ids)}
        if len(self._row) != len(self.item_ids):
            raise DataError("item_ids", "holds an id twice", "give every item one id")

    def __len__(self) -> int:
        return len(self.item_ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._row

    def row(self, item_id: str) -> int:
        """Row of an item. Raises DataError for an unknown id."""
        if item_id not in self._row:
            raise DataError(f"item_id {item_id!r}", "is not in the item table", "add it first")
        return self._row[item_id]

    def put(self, item_ids: Sequence[str], vectors: Tensor) -> None:
        """Add items, or replace the rows of items that are there. vectors: [n, D]."""
        if vectors.shape != (len(item_ids), self.vectors.shape[1]):
            raise ShapeError("vectors", tuple(vectors.shape), f"[{len(item_ids)}, {self.vectors.shape[1]}]")
        if len(set(item_ids)) != len(item_ids):
            raise DataError("item_ids", "holds an id twice", "give every item one id")
        fresh = [i for i, item_id in enumerate(item_ids) if item_id not in self._row]
        known = [i for i, item_id in enumerate(item_ids) if item_id in self._row]
        vectors = vectors.to(self.vectors)
        self.vectors = torch.cat([self.vectors, vectors[fresh]])
        for i in fresh:
            self._row[item_ids[i]] = len(self.item_ids)
            self.item_ids.append(item_ids[i])
        if known:
            self.vectors[[self._row[item_ids[i]] for i in known]] = vectors[known]

    def remove(self, item_ids: Sequence[str]) -> None:
        """Drop items; the order of the others stays."""
        gone = {self.row(item_id) for item_id in item_ids}
        kept = [row for row in range(len(self)) if row not in gone]
        self.vectors = self.vectors[kept]
        self.item_ids = [self.item_ids[row] for row in kept]
        self._row = {item_id: row for row, item_id in enumerate(self.item_ids)}

    def save(self, path: str | Path) -> None:
        """Write safetensors under a temporary name, then rename."""
        tensors = {"vectors": self.vectors.detach().cpu().contiguous()} | _packed(self.item_ids)
        with whole_file(path) as part:
            save_file(tensors, part, metadata={"catalog_hash": catalog_hash(self.item_ids)})

    @classmethod
    def load(cls, path: str | Path, item_ids: Sequence[str] | None = None) -> "ItemTable":
        """Read a table.

        Args:
            path: written by `save`.
            item_ids: the catalog this table must belong to, in order; None accepts any.

        Raises:
            CheckpointError: no such file, damaged, or made for another catalog.
        """
        try:
            with safe_open(path, framework="pt") as file:
                metadata, vectors = file.metadata() or {}, file.get_tensor("vectors")
                if "item_ids" in metadata:  # the older form
                    stored = json.loads(metadata["item_ids"])
                else:
                    stored = _unpacked(file.get_tensor("ids"), file.get_tensor("id_ends"))
            table = cls(stored, vectors)
            stored_hash = metadata["catalog_hash"]
        except FileNotFoundError:
            raise CheckpointError(path, "does not exist", "train the model, or encode the items again") from None
        except (SafetensorError, KeyError, ValueError, TypeError, OSError, RecursionError, ReckonError) as error:
            raise CheckpointError(path, f"is not an item table ({error})", "encode the items again") from None
        if vectors.dtype != torch.float32 or not bool(vectors.isfinite().all()):
            problem = "is damaged (it holds other values than numbers in float32)"
            raise CheckpointError(path, problem, "encode the items again")
        wanted = stored if item_ids is None else list(item_ids)
        if stored != wanted or stored_hash != catalog_hash(wanted):
            raise CheckpointError(
                path,
                "was made for another catalog (its hash differs)",
                "use the data set it was trained on, or add and remove items on the loaded model",
            )
        return table


def _packed(item_ids: Sequence[str]) -> dict[str, Tensor]:
    """`ids`: all ids as UTF-8 bytes, uint8; `id_ends`: [I] int64, where each ends."""
    encoded = [item_id.encode() for item_id in item_ids]
    ids = torch.frombuffer(bytearray(b"".join(encoded) or b"\0"), dtype=torch.uint8)
    ends = torch.tensor([len(item_id) for item_id in encoded], dtype=torch.int64).cumsum(0)
    return {"ids": ids, "id_ends": ends}


def _unpacked(ids: Tensor, ends: Tensor) -> list[str]:
    """The ids that `_packed` stored."""
    text, places = ids.numpy().tobytes(), ends.tolist()
    return [text[start:end].decode() for start, end in zip([0, *places], places, strict=False)]


def catalog_hash(item_ids: Sequence[str]) -> str:
    """sha256 over the item ids in row order."""
    digest = hashlib.sha256()
    for item_id in item_ids:
        encoded = item_id.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()
