import csv
import gzip
import hashlib
import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest
from support.rating_laws import Laws

from reckon.data import Dataset
from reckon.data.prepare.prepare import prepare
from reckon.data.ratings import rating_examples
from reckon.data.sources.amazon2023 import REMOTE, Amazon2023
from reckon.errors import DataError

CATEGORY = "All_Beauty"
META = [
    {
        "main_category": "All Beauty",
        "title": f"Soap &amp; Co {n}",
        "average_rating": 4.8,
        "rating_number": 10,
        "features": ["Soft", "Mild"],
        "description": ["First.", "<b>Second</b>."],
        "price": 9.5 if n % 2 else None,
        "images": [{"thumb": "x"}],
        "store": "Brand",
        "categories": ["Beauty", "Soap"],
        "details": {"Size": "1"},
        "parent_asin": f"B{n:03d}",
        "bought_together": None,
    }
    for n in range(12)
]
REVIEWS = [
    {
        "rating": float(1 + n % 5),
        "title": "Nice",
        "text": f"No.<br />{n}",
        "images": [],
        "asin": f"V{n:03d}",
        "parent_asin": f"B{n % 12:03d}",
        "user_id": f"U{n % 5}",
        "timestamp": 1_600_000_000_000 + 1000 * n + 3,
        "helpful_vote": 0,
        "verified_purchase": True,
    }
    for n in range(60)
]


def lines(records):
    return gzip.compress("\n".join(json.dumps(record) for record in records).encode())


@pytest.fixture
def raw(tmp_path):
    """A folder of the published files, all three kinds."""
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / f"meta_{CATEGORY}.jsonl.gz").write_bytes(lines(META))
    (folder / f"{CATEGORY}.jsonl.gz").write_bytes(lines(REVIEWS))
    with gzip.open(folder / f"{CATEGORY}.csv.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, ("user_id", "parent_asin", "rating", "timestamp"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(REVIEWS)
    return folder


def amazon(path, **settings):
    return Amazon2023(path=path, category=CATEGORY, **settings)


def test_reviews_and_ratings_hold_the_same_events(raw, tmp_path):
    reviews = Dataset.load(prepare(amazon(raw), tmp_path / "reviews"))
    ratings = Dataset.load(prepare(amazon(raw, kind="ratings"), tmp_path / "ratings"))
    assert reviews.events.item_index.tolist() == ratings.events.item_index.tolist()
    assert reviews.events.time.tolist() == ratings.events.time.tolist()
    assert reviews.events.time.min() == 1_600_000_000
    written = pq.read_table(tmp_path / "reviews" / "interactions.parquet")
    assert ("Nice", "No. 0") in zip(written["summary"].to_pylist(), written["review"].to_pylist(), strict=True)
    assert reviews.info["rating_scale"] == {"lowest": 1, "highest": 5, "step": 1}


@pytest.mark.parametrize("kind", ["reviews", "ratings"])
def test_a_rating_example_shows_only_what_is_strictly_older(raw, tmp_path, kind):
    dataset = Dataset.load(prepare(amazon(raw, kind=kind), tmp_path / "out"))
    laws = Laws(dataset)
    for split in ("train", "valid", "test"):
        for example in rating_examples(dataset, split):
            laws.check(example, window=10, item_window=10)
            shown = example.user_history + example.item_history
            assert {rated.summary for rated in shown} <= {"Nice" if kind == "reviews" else ""}


def test_item_text_is_clean_and_tells_no_ratings(raw, tmp_path):
    catalog = Dataset.load(prepare(amazon(raw), tmp_path / "out")).catalog
    assert catalog.record(catalog.index("B001")) == {
        "item_id": "B001",
        "title": "Soap & Co 1",
        "store": "Brand",
        "categories": ["Beauty", "Soap"],
        "features": "Soft. Mild",
        "description": "First. Second .",
        "price": 9.5,
    }


def test_reviews_of_products_without_metadata_are_dropped_and_counted(raw, tmp_path):
    (raw / f"meta_{CATEGORY}.jsonl.gz").write_bytes(lines(META[:10]))
    [_, record, *_] = Dataset.load(prepare(amazon(raw), tmp_path / "out")).info["counts"]
    assert (record["step"], record["removed_interactions"]) == ("unknown items", 10)


def test_a_missing_file_says_where_it_would_come_from(raw, tmp_path):
    (raw / f"{CATEGORY}.jsonl.gz").unlink()
    with pytest.raises(DataError, match=f"--download to fetch it from https://.*/{CATEGORY}.jsonl.gz"):
        prepare(amazon(raw), tmp_path / "out")


def test_a_cut_off_file_is_noticed(raw, tmp_path):
    path = raw / f"{CATEGORY}.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="is cut off in the middle"):
        prepare(amazon(raw), tmp_path / "out")
    assert [left.name for left in tmp_path.iterdir()] == ["raw"]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_what_is_missing_is_downloaded_and_checked(raw, tmp_path):
    site, local = tmp_path / "site", tmp_path / "local"
    for part, remote in REMOTE.items():
        target = site / remote.format(category=CATEGORY)
        target.parent.mkdir(parents=True)
        (raw / target.name).rename(target)
        assert part
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    mirror = f"http://127.0.0.1:{server.server_port}"
    meta = site / REMOTE["meta"].format(category=CATEGORY)
    good = {meta.name: hashlib.sha256(meta.read_bytes()).hexdigest()}
    try:
        settings = {"download": True, "mirrors": (f"{mirror}/nothing/here", mirror)}
        with pytest.raises(DataError, match="has sha256"):
            prepare(amazon(local, sha256={meta.name: "0" * 64}, **settings), tmp_path / "out")
        out = prepare(amazon(local, sha256=good, **settings), tmp_path / "out")
    finally:
        server.shutdown()
        server.server_close()
    assert Dataset.load(out).info["totals"]["interactions"] == 60
    assert sorted(path.name for path in local.iterdir()) == [f"{CATEGORY}.jsonl.gz", f"meta_{CATEGORY}.jsonl.gz"]
