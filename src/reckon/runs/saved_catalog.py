"""What a saved model knows of its items, readable without its language model.

Entry points: `SavedCatalog.load` for what `RankingModel.save_pretrained` writes; `save_items` and `load_items` for a
catalog alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reckon.data import Catalog
from reckon.data.examples import IntArray
from reckon.errors import CheckpointError
from reckon.files import whole_file
from reckon.json_file import COPY_AGAIN
from reckon.models.item_table import ItemTable
from reckon.runs.read import check_run, meta_of

TABLE_FILE, ITEMS_FILE, COUNT_COLUMN = "item_table.safetensors", "items.parquet", "reckon_train_count"


@dataclass(frozen=True, slots=True)
class SavedCatalog:
    """What a saved model knows of its items, without its language model."""

    folder: Path
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
        check_run(path)
        meta = meta_of(path / file)
        items = load_items(path)
        # The last column: the data may have one of this name, too.
        last = items.num_columns - 1
        if items.column_names[last] != COUNT_COLUMN or not pa.types.is_integer(items.column(last).type):
            raise CheckpointError(path / ITEMS_FILE, f"is damaged (it has no {COUNT_COLUMN})", COPY_AGAIN)
        catalog, counts = Catalog(items.select(range(last))), items.column(last).to_numpy()
        table = ItemTable.load(path / TABLE_FILE, catalog.ids)
        data = meta["data"]
        return cls(path, catalog, counts.astype(np.int64), meta["words"], table, Path(data) if data else None)

    def require_width(self, width: int) -> None:
        """Refuse an item table whose vectors have another width than what they are multiplied with."""
        found = self.table.vectors.shape[1]
        if found != width:
            problem = f"has vectors of width {found:,}, and the model's have {width:,}"
            raise CheckpointError(self.folder / TABLE_FILE, problem, COPY_AGAIN)


def save_items(path: Path, catalog: Catalog, counts: IntArray | None = None) -> None:
    """Write the items of a model into its folder, with their training counts [I] where it ranks."""
    items = catalog.table
    if counts is not None:
        items = items.append_column(COUNT_COLUMN, pa.array(np.asarray(counts, dtype=np.int64)))
    with whole_file(path / ITEMS_FILE) as part:
        pq.write_table(items, part)


def load_items(path: Path) -> pa.Table:
    """The items of a saved model, as its folder has them. Raises CheckpointError where they are missing or damaged."""
    file = path / ITEMS_FILE
    try:
        items = pq.ParquetFile(file).read()  # not read_table: it looks up columns by name, and two may have one name
    except FileNotFoundError:
        raise CheckpointError(file, "is missing", COPY_AGAIN) from None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CheckpointError(file, f"is damaged ({error})", COPY_AGAIN) from None
    for name in ("item_id", "title"):
        if items.column_names.count(name) != 1 or not pa.types.is_string(items.schema.field(name).type):
            raise CheckpointError(file, f"is damaged (it has no {name}, or of another type)", COPY_AGAIN)
    return items
