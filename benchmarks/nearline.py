"""Latency of a request to RPORec: from a store of finished reasoning, and with the reasoning written on the spot.

Run it:  python benchmarks/nearline.py [--json FILE] [--quick]

Nearline: 10,000 users in an SQLite store, each asked for once in random order; a request is the look-up, one product of
the user's 256 dimensions with 10,000 items, and the 10 best without the history. Online: the same model class with a
small untrained decoder (width 128, 2 layers) that writes up to 64 tokens about one user at a time; an open language
model takes far longer. Both sides run in processes of their own, one request at a time.
"""

import argparse
import os
import random
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from measure import environment, start, table, write_json

TOP_K = 10
SHAPE = {"users": 10_000, "items": 10_000, "dimensions": 256, "online_users": 50, "tokens": 64}
QUICK = {"users": 50, "items": 200, "dimensions": 16, "online_users": 2, "tokens": 4}
REPLY = "<think>after sea comes crime, mood dark</think><answer>dark crime book: Midnight Alibi</answer>"
SIDES = ("nearline", "online")


def nearline(connection: Connection, shape: dict[str, int]) -> None:
    """Seconds of each request, and of filling the store."""
    import numpy as np
    import pyarrow as pa
    import torch

    from reckon.data import Catalog
    from reckon.methods.rporec.nearline import Nearline
    from reckon.methods.rporec.reply_store import Reply, ReplyStore, StoredReply
    from reckon.models.item_table import ItemTable

    rng = np.random.default_rng(0)
    ids = [f"item-{number}" for number in range(shape["items"])]
    vectors = torch.from_numpy(rng.standard_normal((len(ids), shape["dimensions"]), dtype=np.float32))
    users = [f"user-{number}" for number in range(shape["users"])]
    rows = [
        StoredReply(
            user,
            Reply(REPLY, 24, False),
            rng.standard_normal(shape["dimensions"], dtype=np.float32),
            tuple(ids[item] for item in rng.integers(len(ids), size=10)),
        )
        for user in users
    ]
    with tempfile.TemporaryDirectory() as folder:
        with ReplyStore(Path(folder) / "store.sqlite", {"run": "benchmark"}) as store:
            began = time.perf_counter()
            for first in range(0, len(rows), 64):
                store.put(rows[first : first + 64])
            filling = time.perf_counter() - began
        kept = ReplyStore(Path(folder) / "store.sqlite", None)
        catalog = Catalog(pa.table({"item_id": ids, "title": ids}))
        with Nearline(catalog, ItemTable(ids, vectors), None, True, kept) as served:
            order = random.Random(0).sample(users, len(users))
            served.recommend(order[0], TOP_K)  # start the thread pool
            seconds = []
            for user in order:
                began = time.perf_counter()
                found = served.recommend(user, TOP_K)
                seconds.append(time.perf_counter() - began)
                assert len(found.items) == TOP_K
        size = (Path(folder) / "store.sqlite").stat().st_size
    connection.send({"seconds": seconds, "filling": filling, "bytes_per_user": size / len(users)})


def online(connection: Connection, shape: dict[str, int]) -> None:
    """Seconds of each request with the reasoning written on the spot."""
    from dataclasses import replace

    from transformers.utils import logging

    from reckon.data import Dataset
    from reckon.methods.rporec import RPORec
    from reckon.methods.rporec.config import preset
    from reckon.simulation.bookshop import write_bookshop
    from reckon.small_backbone.pretrain import new_backbone, pretrain_config

    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        shop = write_bookshop(Path(folder) / "data", train_readers=20, valid_readers=5, test_readers=5, notes=5)
        dataset = Dataset.load(shop)
        config = replace(pretrain_config("tiny", "rporec"), layers=2, steps=0)
        backbone = new_backbone(dataset, Path(folder) / "backbone", task="rporec", config=config, progress=False)
        small = preset("small")
        model = RPORec.from_backbone(
            backbone, dataset, replace(small, rollout=replace(small.rollout, max_completion_length=shape["tokens"]))
        )
    examples = [*dataset.examples("train", 10)]
    model.recommend_examples(examples[:1], TOP_K)
    seconds = []
    for number in range(shape["online_users"]):
        began = time.perf_counter()
        model.recommend_examples([examples[number % len(examples)]], TOP_K)
        seconds.append(time.perf_counter() - began)
    connection.send({"seconds": seconds})


def percentile(seconds: list[float], share: float) -> float:
    """The smallest time that at least this share of the requests did not exceed, in milliseconds."""
    ordered = sorted(seconds)
    place = max(0, min(len(ordered) - 1, -(-int(share * 1000 * len(ordered)) // 1000) - 1))
    return round(ordered[place] * 1000, 3)


def measure(shape: dict[str, int]) -> dict[str, Any]:
    """Each side in a fresh process, one after the other."""
    sides = {}
    for name, work in zip(SIDES, (nearline, online), strict=True):
        process, connection = start(work, shape)
        report = connection.recv()
        process.join()
        seconds = report.pop("seconds")
        sides[name] = {
            "requests": len(seconds),
            "p50_ms": percentile(seconds, 0.5),
            "p99_ms": percentile(seconds, 0.99),
            "max_ms": percentile(seconds, 1.0),
        } | {key: round(value, 3) for key, value in report.items()}
    return {"sides": sides}


def render(result: dict[str, Any]) -> str:
    """The table a person reads."""
    shape, sides = result["shape"], result["sides"]
    rows = [
        [name, f"{side['requests']:,}", *(f"{side[key]:.2f}" for key in ("p50_ms", "p99_ms", "max_ms"))]
        for name, side in sides.items()
    ]
    return "\n".join([
        f"{shape['users']:,} users in the store, {shape['items']:,} items x {shape['dimensions']} dimensions, "
        f"top {TOP_K}; {result['hardware']}",
        "",
        table(["side", "requests", "p50 ms", "p99 ms", "max ms"], rows),
        "",
        f"store: {sides['nearline']['bytes_per_user']:.0f} bytes a user, filled in "
        f"{sides['nearline']['filling']:.1f} s",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the result here")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))  # inherited by the sides
    shape = QUICK if options.quick else SHAPE
    result = {"benchmark": "nearline", **environment(), "shape": shape, "top_k": TOP_K, **measure(shape)}
    print(render(result))
    if options.json:
        write_json(options.json, result)


if __name__ == "__main__":
    main()
