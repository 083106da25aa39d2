"""Amazon Reviews 2023 as McAuley's group publishes it: reviews and metadata of one category.

Entry point: `Amazon2023`, on a folder that holds, for category C,

    meta_C.jsonl.gz                 metadata (or meta_C.jsonl)
    C.jsonl.gz                      reviews with text (or C.jsonl), or
    C.csv.gz                        ratings only (user_id, parent_asin, rating, timestamp)

With `download` what is missing is fetched first. Times are milliseconds; the item is `parent_asin`, which joins the
variants (colours, sizes) of a product.

Hou et al., "Bridging Language and Items for Retrieval and Recommendation", arXiv 2403.03952.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from reckon.data.prepare.download import DIGITS, download
from reckon.data.prepare.workspace import Workspace
from reckon.data.scale import Scale
from reckon.data.sources.files import columns_of, fingerprint, json_relation, relation
from reckon.data.sources.load import store_interactions, store_items
from reckon.data.splits import Protocol
from reckon.errors import DataError

Kind = Literal["reviews", "ratings"]
MIRRORS = ("https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023",)
REMOTE = {
    "meta": "raw/meta_categories/meta_{category}.jsonl.gz",
    "reviews": "raw/review_categories/{category}.jsonl.gz",
    "ratings": "benchmark/0core/rating_only/{category}.csv.gz",
}
# average_rating and rating_number are left out: they count ratings of the whole period, the test period included, so
# in an item's text they would tell the future.
META = {
    "parent_asin": "VARCHAR",
    "title": "VARCHAR",
    "store": "VARCHAR",
    "categories": "VARCHAR[]",
    "features": "VARCHAR[]",
    "description": "VARCHAR[]",
    "price": "VARCHAR",
}
REVIEW = {
    "user_id": "VARCHAR",
    "parent_asin": "VARCHAR",
    "timestamp": "VARCHAR",
    "rating": "VARCHAR",
    "title": "VARCHAR",
    "text": "VARCHAR",
}
RATING = ("user_id", "parent_asin", "rating", "timestamp")


@dataclass(frozen=True, kw_only=True)
class Amazon2023:
    """One category of the data set."""

    path: Path
    """The folder; also where downloads go."""
    category: str
    """As in the file names, e.g. `All_Beauty`."""
    kind: Kind = "reviews"
    """`reviews`: with text; `ratings`: the much smaller table."""
    download: bool = False
    mirrors: tuple[str, ...] = MIRRORS
    """Base addresses, tried in turn."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """File name to the hex digest that it must have. The publisher gives none; use your own for a repeatable run."""
    name: str = "amazon-2023"
    words: dict[str, str] = field(default_factory=lambda: {"item": "product", "items": "products", "action": "bought"})
    split: Protocol = "temporal"
    unknown_items: str = "drop"
    scale: Scale | None = None

    def load(self, workspace: Workspace) -> dict[str, Any]:
        """Read metadata and reviews or ratings; see `Source.load`."""
        meta, events = self._file("meta"), self._file(self.kind)
        files = [fingerprint(path) for path in (meta, events)]
        for found in files:
            wanted = self.sha256.get(found["name"])
            if wanted is not None and wanted.lower() != found["sha256"]:
                raise DataError(
                    str(self.path / found["name"]),
                    f"has sha256 {found['sha256'][:DIGITS]}…, not {wanted[:DIGITS]}…",
                    "fetch the file again, or correct the digest",
                )
        store_items(
            workspace,
            json_relation(meta, META),
            {
                "item_id": "parent_asin",
                "title": "title",
                "store": "store",
                "categories": "categories",
                "features": "array_to_string(features, '. ')",
                "description": "array_to_string(description, ' ')",
                "price": "price",
            },
            str(meta),
            prices=("price",),
        )
        if self.kind == "ratings":
            sql = relation(workspace, events)
            columns = columns_of(workspace, events, sql)
            for name in RATING:
                if name not in columns:
                    raise DataError(str(events), f"has no column {name!r}", f"it needs {', '.join(RATING)}")
        else:
            sql = json_relation(events, REVIEW)
        mapped = {"user_id": "user_id", "item_id": "parent_asin", "timestamp": '"timestamp"', "rating": "rating"}
        if self.kind == "reviews":
            mapped |= {"summary": "title", "review": "text"}
        store_interactions(workspace, sql, mapped, str(events), time_unit="ms")
        return {"category": self.category, "kind": self.kind, "files": files}

    def _file(self, part: str) -> Path:
        remote = REMOTE[part].format(category=self.category)
        name = remote.rsplit("/", 1)[1]
        for path in (self.path / name, self.path / name.removesuffix(".gz"), self.path / remote):
            if path.is_file():
                return path
        target = self.path / name
        if not self.download:
            raise DataError(
                str(target),
                "does not exist",
                f"put it there, or pass --download to fetch it from {self.mirrors[0]}/{remote}",
            )
        download([f"{base.rstrip('/')}/{remote}" for base in self.mirrors], target, sha256=self.sha256.get(name))
        return target
