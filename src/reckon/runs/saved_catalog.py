"""What a saved ranking model knows of its items, readable without its language model.

Entry point: `SavedCatalog.load`. `RankingModel.save_pretrained` writes it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from reckon.data import Catalog
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError
from reckon.models.item_table import ItemTable

TABLE_FILE, ITEMS_FILE, COUNT_COLUMN = "item_table.safetensors", "items.parquet", "reckon_train_count"


@dataclass(frozen=True, slots=True)
class SavedCatalog:
    """What a saved model knows of its items, without its language model."""

    catalog: Catalog
    counts: IntArray
    words: dict[str, str]
    table: ItemTable
    data_path: Path | None

    @classmethod
    def load(cls, path: Path, method: str) -> "SavedCatalog":
        """Read it from the folder of a saved model of a method, named as on the command line.

        Raises:
            CheckpointError: a part is missing or damaged, or the item table belongs to another catalog.
        """
        file = f"{method}.json"
        if not (path / file).exists():
            raise CheckpointError(
                path,
                f"is not a finished run of {method} (no {file})",
                f"give the directory of `reckon train {method}`, after it has ended",
            )
        try:
            meta = json.loads((path / file).read_text())
            items = pq.read_table(path / ITEMS_FILE)
            catalog = Catalog(items.drop_columns(COUNT_COLUMN))
            words, data = meta["words"], meta["data"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                path, f"{file} or {ITEMS_FILE} is missing or damaged ({error})", "copy the whole run directory again"
            ) from error
        table = ItemTable.load(path / TABLE_FILE, catalog.ids)
        return cls(catalog, items[COUNT_COLUMN].to_numpy(), words, table, Path(data) if data else None)
