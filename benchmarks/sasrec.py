"""Reckon's SASRec against RecTools': same data, same budget, same evaluation, several seeds.

Run it:  python benchmarks/sasrec.py --data DIR --peer PEER/bin/python --out OUT [--seeds 0 1 2] [--json FILE]

PEER is the environment of RecTools, see `sasrec_peer.py`; without --peer only Reckon's side runs. DIR is a prepared
data set (item indices in it follow a hash of the ids, so they say nothing of the order of first appearance).

All sides train on the same training events with the same width, blocks, heads, dropout, batch size, learning rate,
full-catalog softmax and at most --epochs epochs. After each epoch NDCG@10 is measured on the same validation rows;
training stops after --patience epochs without a better one, and the best epoch is kept. An epoch is a pass over the
data, or as many as make 50 batches. Test rows are ranked once, over the whole catalog, by Reckon. The sides:

    reckon            whole sequences, cut into pieces of --max-length
    rectools          as it comes: the last --max-length targets of each user
    rectools-pieces   RecTools' network and loop on Reckon's pieces, each as a user of its own

A finished cell (side and seed) in OUT is not run again.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import environment, over_seeds, table, write_json

METRICS = ("hit@10", "ndcg@10")
SIDES = ("reckon", "rectools", "rectools-pieces")
SETTINGS = ("width", "layers", "heads", "max_length", "batch_size", "epochs", "patience", "dropout", "learning_rate")
PEER_SCRIPT = Path(__file__).with_name("sasrec_peer.py")


def reckon_side(dataset: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Reckon's ranks [R] of the test targets, and seconds."""
    from reckon.baselines.sequential.sasrec import SASRec

    names = {name: settings[name] for name in (*SETTINGS, "validation_rows")}
    started = time.perf_counter()
    fitted = SASRec.fit(dataset, SASRec.CONFIG(**names), exclude_seen=settings["exclude_seen"], seed=settings["seed"])
    seconds = time.perf_counter() - started
    examples = dataset.examples("test", settings["max_length"])
    return {"ranks": fitted.ranks(examples, 1).ranks, "seconds": seconds}


def peer_side(dataset: Any, settings: dict[str, Any], peer: str, pieces: bool) -> dict[str, Any]:
    """RecTools' ranks [R] of the test targets, found by Reckon from its vectors, and seconds."""
    import torch

    from reckon.models.scoring import target_ranks

    with tempfile.TemporaryDirectory() as folder:
        data, options, out = (Path(folder) / name for name in ("data.npz", "settings.json", "out.npz"))
        np.savez(data, **exchange(dataset, settings, pieces))
        options.write_text(json.dumps(settings), encoding="utf-8")
        subprocess.run([peer, str(PEER_SCRIPT), str(data), str(options), str(out)], check=True, cwd=folder)
        found = np.load(out)
        users, items = torch.from_numpy(found["users"]), torch.from_numpy(found["items"])
        examples, unknown = dataset.examples("test", settings["max_length"]), np.flatnonzero(~found["known"])
        exclude = [
            np.r_[unknown, examples.seen(row)] if settings["exclude_seen"] else unknown for row in range(len(examples))
        ]
        targets = torch.from_numpy(examples.targets.astype(np.int64))
        ranks = target_ranks(users, items, targets, exclude=exclude).numpy()
        return {"ranks": ranks, "seconds": float(found["seconds"]), "valid_ndcg@10": found["valid_ndcg"].tolist()}


def exchange(dataset: Any, settings: dict[str, Any], pieces: bool) -> dict[str, Any]:
    """What RecTools needs: training sequences, histories, targets and what was seen."""
    from reckon.baselines.classical.interactions import training_sequences

    length, train = settings["max_length"], training_sequences(dataset)
    if pieces:  # RecTools predicts all but the first item of a sequence: one more item before each piece
        train = [
            sequence[max(0, end - length - 1) : end] for sequence in train for end in range(len(sequence), 0, -length)
        ]
    result = {"items": len(dataset.catalog), "exclude_seen": settings["exclude_seen"]} | stored("train", train)
    for split in ("valid", "test"):
        examples = dataset.examples(split, length)
        if split == "valid":
            examples = examples.sample(settings["validation_rows"], settings["seed"])
        rows = range(len(examples))
        result |= stored(split, [examples.history(row) for row in rows])
        result |= stored(f"{split}_seen", [examples.seen(row) for row in rows])
        result[f"{split}_targets"] = examples.targets.astype(np.int64)
    return result


def stored(name: str, sequences: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Sequences as one array and where each ends."""
    return {
        f"{name}_items": np.concatenate(sequences).astype(np.int64),
        f"{name}_ends": np.cumsum([len(sequence) for sequence in sequences]),
    }


def cell(dataset: Any, side: str, settings: dict[str, Any], peer: str | None, out: Path) -> dict[str, Any]:
    """One side under one seed: its file in OUT, which is made if it is not there."""
    path = out / f"{side}-seed-{settings['seed']}.json"
    wanted = {"side": side, "settings": settings, "data": dataset.checksum}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if all(kept[name] == value for name, value in wanted.items()):
            return kept
        raise SystemExit(f"{path} has other settings or data: choose another --out")
    if side == "reckon":
        found = reckon_side(dataset, settings)
    else:
        assert peer is not None
        found = peer_side(dataset, settings, peer, pieces=side == "rectools-pieces")
    result = wanted | metrics(side, dataset, found.pop("ranks")) | found
    write_json(path, result)
    return result


def metrics(side: str, dataset: Any, ranks: np.ndarray) -> dict[str, Any]:
    """Reckon's metrics of ranks [R], and how many rows they are over."""
    from reckon.metrics import RankingResult, metric_values

    result = RankingResult(side, ranks, len(dataset.catalog))
    return {metric: float(metric_values(result, metric).mean()) for metric in METRICS} | {"test_rows": len(result)}


def quick_data(folder: Path) -> Path:
    """A small bookshop: does it run at all?"""
    from reckon.simulation.bookshop import write_bookshop

    return write_bookshop(folder / "data", train_readers=60, valid_readers=20, test_readers=40, notes=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a prepared data set")
    parser.add_argument("--peer", help="python of the environment with RecTools")
    parser.add_argument("--out", type=Path, help="where finished cells are kept")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--allow-seen", action="store_true", help="items of the history may be recommended")
    parser.add_argument("--quick", action="store_true", help="a tiny simulated shop and two epochs")
    for name, value in (("width", 64), ("layers", 2), ("heads", 2), ("max-length", 50), ("batch-size", 128)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--patience", type=int, default=5)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    options = parser.parse_args()
    if not options.quick and (options.data is None or options.out is None):
        parser.error("--data and --out are needed, or --quick")
    with tempfile.TemporaryDirectory() as temporary:
        result = compare(options, Path(temporary))
    print(render(result))
    if options.json:
        write_json(options.json, result)


def compare(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """All cells, and their means over seeds."""
    from reckon.baselines.sequential.sequences import STEPS_PER_ROUND
    from reckon.data import Dataset

    dataset = Dataset.load(quick_data(temporary) if options.quick else options.data)
    out = temporary / "cells" if options.quick else options.out
    settings = {name: getattr(options, name) for name in SETTINGS}
    settings |= {"exclude_seen": not options.allow_seen, "validation_rows": 5_000, "steps_per_round": STEPS_PER_ROUND}
    seeds = options.seeds
    if options.quick:
        settings, seeds = settings | {"width": 16, "epochs": 2}, seeds[:1]
    sides = [side for side in SIDES if side in options.sides and (side == "reckon" or options.peer)]
    cells = []
    for seed in seeds:
        for side in sides:
            cells.append(cell(dataset, side, settings | {"seed": seed}, options.peer, out))
            line = "  ".join(f"{metric} {cells[-1][metric]:.4f}" for metric in METRICS)
            print(f"seed {seed}  {side:16s} {line}  {cells[-1]['seconds']:.0f} s", flush=True)
    of = {side: [found for found in cells if found["side"] == side] for side in sides}
    means = {
        side: {name: over_seeds([found[name] for found in of[side]]) for name in (*METRICS, "seconds")}
        for side in sides
    }
    differences = {
        f"reckon − {side}": {
            name: over_seeds([mine[name] - theirs[name] for mine, theirs in zip(of["reckon"], of[side], strict=True)])
            for name in METRICS
        }
        for side in sides[1:]
        if sides[0] == "reckon"
    }
    return {
        "benchmark": "sasrec", **environment(), "data": dataset.info["source"]["name"], "split": dataset.protocol,
        "items": len(dataset.catalog), "settings": settings, "seeds": seeds, "means": means, "differences": differences,
        "cells": cells,
    }  # fmt: skip


def render(result: dict[str, Any]) -> str:
    """The table a person reads."""
    rows = [
        [side, *(f"{means[name]['mean']:.4f} ± {means[name]['half_width']:.4f}" for name in METRICS),
         f"{means['seconds']['mean']:.0f}" if "seconds" in means else ""]
        for side, means in {**result["means"], **result["differences"]}.items()
    ]  # fmt: skip
    what = f"{result['data']}, {result['items']:,} items, {result['split']}, {len(result['seeds'])} seeds"
    return f"{what}; ± is a 95 % interval over seeds\n\n{table(['side', *METRICS, 'seconds'], rows)}"


if __name__ == "__main__":
    main()
